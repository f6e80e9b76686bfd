// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// The ops page. It requests the stats of the node every two seconds and shows them.
// Data from the node is inserted as text, never as HTML.
'use strict';

const root = '/api/internal/v1';
const refreshMs = 2000; // between two refreshes
const timeoutMs = 5000; // of a request
const pageSize = 50; // connections
const failurePage = 1000; // failed deliveries in one request
const failurePages = 5; // requests in one refresh
const failuresKept = 100;
const failuresShown = 8; // until the user asks for all
const tokenKey = 'gatecast.admin-token';

const $ = (id) => document.getElementById(id);

let token = sessionStorage.getItem(tokenKey) ?? '';
let refreshId = 0; // of the newest refresh; answers to older ones are dropped
let timer = 0;
let lastAnswer = 0; // time of the node's last answer, by the browser's clock
let clockOffset = 0; // how far the node's clock is ahead of the browser's, ms
let filter = '';
let pages = ['']; // cursors of the pages up to the one shown
let nextPage = '';
let before = null; // the last totals, for rates
let failures = null; // see updateFailures
let showAllFailures = false;
let toClose = null; // the connection in the dialog
let opener = null; // the button that opened it

// request returns the answer of the node, whatever its status. It throws if there is none.
async function request(path, method = 'GET') {
  const headers = token === '' || path === '/ready' ? {} : { Authorization: 'Bearer ' + token };
  const response = await fetch(path, { method, headers, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(timeoutMs) });
  const text = await response.text();
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) {
    const ahead = date - Date.now(); // the header has whole seconds
    clockOffset = Math.abs(ahead) < 2000 ? 0 : ahead;
  }
  let body = {};
  try {
    body = text === '' ? {} : JSON.parse(text);
  } catch {
    body = { message: 'the answer is not JSON; is this a gatecast node?' };
  }
  return { status: response.status, body };
}

// ---- formats ----

const number = (n) => Number(n).toLocaleString('en');
const plural = (n, one, many) => number(n) + ' ' + (n === 1 ? one : many);

function bytes(n) {
  for (const unit of ['B', 'KiB', 'MiB']) {
    if (n < 1024) return (unit === 'B' ? String(n) : n.toFixed(1)) + ' ' + unit;
    n /= 1024;
  }
  return n.toFixed(1) + ' GiB';
}

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
}

const now = () => Date.now() + clockOffset;
const ago = (time) => time ? duration(now() - Date.parse(time)) + ' ago' : '–';

// utc formats a time as in logs, in UTC, with the day unless it is today.
function utc(time) {
  if (!time) return '–';
  const at = new Date(time).toISOString();
  const today = new Date(now()).toISOString().slice(0, 10);
  return (at.slice(0, 10) === today ? '' : at.slice(0, 10) + ' ') + at.slice(11, 19);
}

function perSecond(n) {
  if (n === null) return '…';
  return n === 0 ? '0' : n < 10 ? n.toFixed(1) : number(Math.round(n));
}

// ---- the document ----

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setBanner(kind, text) {
  $('banner').className = 'banner ' + kind;
  setText($('banner'), text);
  $('banner').hidden = text === '';
}

function setNotice(kind, text) {
  $('notice').className = 'banner ' + kind;
  setText($('notice'), text);
  $('notice').hidden = text === '';
}

function setState(kind, text) {
  $('state').className = 'badge ' + kind;
  setText($('state'), text);
  document.title = text + ' · gatecast ' + $('node-id').textContent;
}

// updateRows makes the rows of a table match a list. It keeps rows that stay, so that they keep
// focus and selection. cells returns [label, text, class] for each cell of an item; made is called
// for each new row.
function updateRows(body, list, key, cells, made, empty) {
  const keys = new Set(list.map(key));
  const old = new Map();
  for (const row of [...body.rows]) {
    if (keys.has(row.dataset.key)) old.set(row.dataset.key, row);
    else row.remove();
  }
  let next = body.firstElementChild;
  for (const item of list) {
    const row = old.get(key(item)) ?? newRow(key(item), cells(item), made, item);
    cells(item).forEach(([, text, kind], i) => {
      setText(row.cells[i].firstElementChild ?? row.cells[i], text);
      (row.cells[i].firstElementChild ?? row.cells[i]).className = kind;
    });
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  }
  if (list.length === 0) {
    const row = document.createElement('tr');
    const cell = row.insertCell();
    row.setAttribute('role', 'row');
    cell.setAttribute('role', 'cell');
    cell.className = 'empty';
    cell.colSpan = body.parentElement.tHead.rows[0].cells.length;
    cell.textContent = empty;
    body.append(row);
  }
}

function newRow(id, cells, made, item) {
  const row = document.createElement('tr');
  row.dataset.key = id;
  row.setAttribute('role', 'row');
  for (const [label, , kind] of cells) {
    const cell = row.insertCell();
    cell.setAttribute('role', 'cell');
    cell.dataset.label = label;
    if (kind.startsWith('status')) cell.append(document.createElement('span'));
  }
  made?.(row, item);
  return row;
}

// ---- data ----

function showNode(node) {
  setText($('node-id'), node.id);
  setText($('node-facts'), `version ${node.version}, up ${duration(now() - Date.parse(node.startedAt))}, started ${utc(node.startedAt)} UTC`);
}

// rates returns rates per second since the previous refresh, null at the first one.
function rates(stats) {
  const current = {
    at: performance.now(), node: stats.node.id + stats.node.startedAt,
    failed: stats.eventDelivery.failedDeliveries, shards: stats.node.shards.map((s) => s.delivered),
  };
  const last = before?.node === current.node ? before : null;
  const rate = (a, b) => last ? Math.max(0, (a - b) * 1000 / Math.max(1, current.at - last.at)) : null;
  before = current;
  return {
    shards: current.shards.map((n, i) => rate(n, last?.shards[i])),
    failed: rate(current.failed, last?.failed),
    restarted: last === null,
  };
}

function showTotals(stats, rate) {
  const { gatewayConnections: connections, eventDelivery: delivery, node } = stats;
  const sum = (f) => node.shards.reduce((total, s) => total + f(s), 0);
  setText($('connections'), number(connections.totalActive));
  setText($('gateways'), number(sum((s) => s.gateways)));
  setText($('queued'), bytes(sum((s) => s.queued)));
  setText($('rate'), perSecond(rate.restarted ? null : rate.shards.reduce((a, b) => a + b, 0)));
  setText($('delivered'), number(delivery.totalEventsSent) + ' since the start');
  setText($('failed'), number(delivery.failedDeliveries));
  $('failed').classList.toggle('alarm', rate.failed > 0);
  setText($('failed-rate'), rate.failed > 0 ? perSecond(rate.failed) + ' per second now' : 'since the start');
  setText($('last-failure'), delivery.lastFailureTime ? ago(delivery.lastFailureTime) : 'none');
  setText($('last-reason'), delivery.lastFailureReason ?? '');
}

function showShards(shards, rate) {
  const most = Math.max(1, ...shards.map((s) => s.connections));
  const body = $('shards');
  while (body.rows.length > shards.length) body.deleteRow(-1);
  while (body.rows.length < shards.length) addShard(body);
  shards.forEach((s, i) => {
    const cells = body.rows[i].cells;
    setText(cells[1].querySelector('span'), number(s.connections));
    cells[1].querySelector('i').style.width = 100 * s.connections / most + '%';
    [number(s.gateways), bytes(s.queued), perSecond(rate.shards[i])].forEach((text, n) => setText(cells[n + 2], text));
  });
}

function addShard(body) {
  const row = body.insertRow();
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = String(body.rows.length - 1);
  row.append(head);
  const meter = document.createElement('div');
  meter.className = 'meter';
  const bar = document.createElement('b');
  bar.append(document.createElement('i'));
  meter.append(document.createElement('span'), bar);
  row.insertCell().append(meter);
  for (let i = 0; i < 3; i++) row.insertCell().className = 'number';
}

const connectionCells = (c) => [
  ['Gateway', c.gatewayId, 'code'],
  ['Status', c.status, c.status === 'connected' ? 'status good' : 'status'],
  ['Address', c.remoteAddr, 'code'],
  ['Connected since', utc(c.connectedAt), 'time'],
  ['Last heartbeat', ago(c.lastHeartbeat), 'number'],
  ['Events sent', number(c.eventsSent), 'number'],
  ['Queued', bytes(c.queuedBytes), 'number'],
  ['Cursor', c.cursor ?? '–', 'code'],
  ['Shard', String(c.shard), 'number'],
];

function addCloseButton(row, connection) {
  const cell = row.insertCell();
  cell.setAttribute('role', 'cell');
  cell.className = 'close';
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Close';
  button.setAttribute('aria-label', `Close the connection of ${connection.gatewayId} at ${connection.remoteAddr}`);
  button.addEventListener('click', () => openCloseDialog(connection, button));
  cell.append(button);
}

async function showConnections(list, total, id) {
  let empty = 'No gateway is connected to this node.';
  if (pages.length > 1) empty = 'This page is empty now. Go back one page.';
  else if (filter !== '' && list.length === 0) {
    empty = await explainNoConnection();
    if (id !== refreshId) return;
  }
  setText($('connections-note'), filter === '' ? plural(total, 'connection', 'connections') : 'Only gateway ' + filter);
  updateRows($('rows'), list, (c) => c.connectionId, connectionCells, addCloseButton, empty);
  $('previous').disabled = pages.length === 1;
  $('next').disabled = nextPage === '';
  setText($('page'), 'Page ' + pages.length);
}

// explainNoConnection says why a gateway has no connection.
async function explainNoConnection() {
  const answer = await request(root + '/gateways/' + encodeURIComponent(filter));
  if (answer.status === 200) return `Gateway ${filter} is registered but has no connection to this node.`;
  if (answer.status === 404) return `Gateway ${filter} is not registered and has no connection to this node.`;
  return `Gateway ${filter} has no connection to this node.`;
}

const failureCells = (f) => [
  ['Time', utc(f.time), 'time'],
  ['Gateway', f.gatewayId, 'code'],
  ['Reason', f.reason.replaceAll('_', ' '), ''],
  ['Event type', f.type, 'code'],
  ['Event', f.eventId, 'code'],
  ['Correlation id', f.correlationId, 'code'],
];

const failureKey = (f) => [f.time, f.eventId, f.gatewayId, f.reason].join(' ');

// updateFailures reads the failed deliveries after those that are known. The node lists the oldest
// first. So the first request starts one hour back; if that is more than a few pages, one minute
// back. It does not delay the rest of the page: the list comes from the log, which can be
// unreachable while the node answers.
async function updateFailures(total) {
  failures ??= { from: new Date(now() - 3600e3).toISOString(), range: 'the last hour', first: true, list: [], known: new Set() };
  const f = failures;
  if (f.busy || f.total === total && !f.more && performance.now() - f.at < 5 * refreshMs) return;
  f.busy = true;
  let answer = await readFailures(f);
  if (answer?.status === 200 && f.first && f.more) {
    Object.assign(f, { from: new Date(now() - 60e3).toISOString(), range: 'the last minute, because there are many', list: [], known: new Set(), cursor: '' });
    answer = await readFailures(f);
  }
  f.busy = false;
  if (failures !== f) return;
  if (answer.status === 200) Object.assign(f, { first: false, total, at: performance.now() });
  showFailures(f, answer);
}

async function readFailures(f) {
  let answer = null;
  for (let i = 0; i < failurePages; i++) {
    const q = new URLSearchParams({ from: f.from, limit: failurePage });
    if (filter !== '') q.set('gatewayId', filter);
    if (f.cursor) q.set('cursor', f.cursor);
    answer = await request(root + '/deliveries?' + q).catch(() => ({ status: 0, body: { message: 'no answer' } }));
    if (answer.status !== 200) {
      f.cursor = '';
      return answer;
    }
    for (const d of answer.body.deliveries) {
      if (!f.known.has(failureKey(d))) f.list.push(d);
      f.known.add(failureKey(d));
    }
    f.list = f.list.slice(-failuresKept);
    f.cursor = answer.body.cursor ?? '';
    f.more = f.cursor !== '';
    if (!f.more) break;
  }
  if (!f.more && f.list.length > 0) {
    // The next request starts at the newest one, which the answer will contain again.
    f.from = f.list.reduce((latest, d) => d.time > latest ? d.time : latest, f.from);
    f.known = new Set(f.list.map(failureKey));
  }
  return answer;
}

function showFailures(f, answer) {
  if (answer.status !== 200) {
    setText($('failures-note'), 'Cannot list failed deliveries: ' + (answer.body.message ?? answer.status));
    return;
  }
  let note = `From ${f.range}, newest first${f.list.length === failuresKept ? ` (only the newest ${failuresKept})` : ''}.`;
  if (f.more) note = `Loading; so far up to ${utc(f.list.at(-1)?.time)} UTC.`;
  setText($('failures-note'), note);
  const list = f.list.toReversed();
  const shown = showAllFailures ? list : list.slice(0, failuresShown);
  updateRows($('failures'), shown, failureKey, failureCells, null, filter === '' ? 'None.' : `None for gateway ${filter}.`);
  $('failures-more').hidden = list.length <= failuresShown;
  setText($('failures-more'), showAllFailures ? 'Show fewer' : `Show all ${list.length}`);
}

// ---- refreshing ----

// refresh reads and shows everything now, and again after refreshMs.
async function refresh() {
  clearTimeout(timer);
  const id = ++refreshId;
  try {
    await refreshOnce(id);
  } catch (error) {
    if (id === refreshId) unreachable(error);
  }
  if (id === refreshId && !document.hidden) timer = setTimeout(refresh, refreshMs);
}

async function refreshOnce(id) {
  const stats = token === '' ? null : request(statsPath());
  const [ready, answer] = await Promise.all([request('/ready'), stats]);
  if (id !== refreshId) return;
  lastAnswer = Date.now();
  $('live').classList.remove('stale');
  showReady(ready);
  if (answer === null) showTokenForm('');
  else if (answer.status === 200) await show(answer.body, id);
  else statsFailed(answer);
}

function statsPath() {
  const q = new URLSearchParams({ limit: pageSize });
  if (filter !== '') q.set('gatewayId', filter);
  if (pages.at(-1) !== '') q.set('cursor', pages.at(-1));
  return root + '/stats?' + q;
}

function showReady({ status, body }) {
  const why = body.message ?? 'status ' + status;
  if (status === 200) {
    setState('good', 'Ready');
    setBanner('', '');
  } else if (why === 'draining') {
    setState('', 'Draining');
    setBanner('', 'The node is shutting down. It accepts no new connections and closes the existing ones one by one.');
  } else {
    setState('bad', 'Not ready');
    setBanner('bad', 'The node is not ready and refuses new connections: ' + why);
  }
}

async function show(stats, id) {
  $('token-form').hidden = true;
  $('live').hidden = $('forget').hidden = false;
  nextPage = stats.gatewayConnections.cursor ?? '';
  const rate = rates(stats);
  showNode(stats.node);
  setState($('state').className.replace('badge ', ''), $('state').textContent); // the title has the node's id
  showTotals(stats, rate);
  showShards(stats.node.shards, rate);
  await showConnections(stats.gatewayConnections.connections, stats.gatewayConnections.totalActive, id);
  if (id === refreshId) updateFailures(stats.eventDelivery.failedDeliveries);
}

// statsFailed handles an error of the stats route.
function statsFailed({ status, body }) {
  const why = body.message ?? 'status ' + status;
  if (status === 401) {
    dropToken();
    showTokenForm('The node does not accept this token. It may have been replaced, or belong to another node.');
  } else if (status === 403) {
    dropToken();
    showTokenForm('This token lacks the scope read. Use a token with the scope read or admin.');
  } else if (status === 400 && body.field === 'cursor') {
    pages = [''];
    setTimeout(refresh);
  } else {
    setBanner('bad', 'Cannot get the stats: ' + why);
  }
}

function unreachable(error) {
  setState('bad', 'Unreachable');
  $('live').classList.add('stale');
  const why = error.name === 'TimeoutError' ? `It has not answered for ${timeoutMs / 1000} s.` : 'It may have stopped, or the network to it is down.';
  const since = lastAnswer === 0 ? '' : ` The data below is from ${utc(lastAnswer + clockOffset)} UTC.`;
  setBanner('bad', `The node is unreachable. ${why}${$('live').hidden ? '' : since} Retrying every ${refreshMs / 1000} s.`);
}

function dropToken() {
  token = '';
  sessionStorage.removeItem(tokenKey);
  before = failures = null;
}

function showTokenForm(error) {
  $('live').hidden = $('forget').hidden = true;
  if (error !== '') setText($('token-error'), error);
  if (!$('token-form').hidden) return;
  $('token-form').hidden = false;
  $('token').focus();
}

// ---- closing a connection ----

function openCloseDialog(connection, button) {
  toClose = connection;
  opener = button;
  setText($('close-text'), `Gateway ${connection.gatewayId} at ${connection.remoteAddr}, connection ${connection.connectionId}.`);
  $('close-dialog').showModal();
  $('close-no').focus(); // the button that changes nothing
}

async function closeConnection() {
  const c = toClose;
  $('close-dialog').close();
  const name = `the connection of ${c.gatewayId} at ${c.remoteAddr}`;
  try {
    const { status, body } = await request(root + '/connections/' + encodeURIComponent(c.connectionId), 'DELETE');
    if (status === 204) setNotice('good', `Closed ${name}.`);
    else if (status === 404) setNotice('', `Nothing to close: ${name} has already ended.`);
    else if (status === 403) {
      $('live').classList.add('no-close');
      setNotice('', 'This token cannot close connections. Forget it and use a token with the scope admin.');
    } else setNotice('bad', `Could not close ${name}: ${body.message ?? 'status ' + status}`);
  } catch {
    setNotice('bad', `Could not close ${name}: the node is unreachable.`);
  }
  refresh();
}

// ---- events ----

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('token').value.trim();
  if (!/^[\x21-\x7e]+$/.test(text)) {
    setText($('token-error'), 'This is not a token. A token has only ASCII characters and no spaces.');
    return;
  }
  token = text;
  sessionStorage.setItem(tokenKey, token);
  $('token').value = '';
  setText($('token-error'), '');
  $('live').classList.remove('no-close');
  setNotice('', '');
  refresh();
});

$('forget').addEventListener('click', () => {
  dropToken();
  setText($('token-error'), '');
  setNotice('', '');
  refresh();
});

function setFilter(id) {
  filter = id;
  $('filter').value = id;
  $('filter-clear').hidden = id === '';
  pages = [''];
  failures = null;
  setText($('filter-error'), '');
  refresh();
}

$('filter-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const id = $('filter').value.trim();
  if (/^[A-Za-z0-9_-]{0,64}$/.test(id)) setFilter(id);
  else setText($('filter-error'), 'A gateway id has 1 to 64 letters, digits, _ and -.');
});
$('filter-clear').addEventListener('click', () => {
  setFilter('');
  $('filter').focus();
});

$('next').addEventListener('click', () => {
  pages.push(nextPage);
  $('next').disabled = true; // until the page has arrived
  refresh();
});
$('previous').addEventListener('click', () => {
  pages.pop();
  $('previous').disabled = true;
  refresh();
});

$('failures-more').addEventListener('click', () => {
  showAllFailures = !showAllFailures;
  showFailures(failures, { status: 200 });
});

$('close-yes').addEventListener('click', closeConnection);
$('close-no').addEventListener('click', () => $('close-dialog').close());
$('close-dialog').addEventListener('close', () => (opener.isConnected ? opener : $('connections-title')).focus());

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) refresh();
});

refresh();
