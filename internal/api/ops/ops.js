// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// The ops page. It asks the node every two seconds and shows what it answers.
// What comes from the node becomes text, never HTML.
'use strict';

const root = '/api/internal/v1';
const every = 2000; // ms between two looks
const patience = 5000; // ms until a node that does not answer counts as out of reach
const pageSize = 50; // connections
const failurePage = 1000; // failed deliveries asked for at once
const failurePages = 5; // asked for in one look
const failuresKept = 100;
const failuresFolded = 8; // shown until all are asked for
const tokenKey = 'gatecast.admin-token';

const $ = (id) => document.getElementById(id);

let token = sessionStorage.getItem(tokenKey) ?? '';
let look = 0; // the newest look; what an older one brings is dropped
let timer = 0;
let lastAnswer = 0; // when the node answered last, by the browser's clock
let skew = 0; // how far the node's clock is ahead, ms
let filter = '';
let pages = ['']; // cursors of the pages up to the one shown
let nextPage = '';
let before = null; // the last totals, for rates
let failures = null; // see followFailures
let failuresOpen = false;
let toClose = null; // the connection that the dialog is about
let opener = null; // the button that opened it

// ask returns what the node answers, whatever the status. It throws when there is no
// answer.
async function ask(path, method = 'GET') {
  const headers = token === '' || path === '/ready' ? {} : { Authorization: 'Bearer ' + token };
  const response = await fetch(path, { method, headers, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(patience) });
  const text = await response.text();
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) {
    const ahead = date - Date.now(); // the header has whole seconds
    skew = Math.abs(ahead) < 2000 ? 0 : ahead;
  }
  let body = {};
  try {
    body = text === '' ? {} : JSON.parse(text);
  } catch {
    body = { message: 'the answer is not JSON: is this a gatecast node?' };
  }
  return { status: response.status, body };
}

// ---- words ----

const number = (n) => Number(n).toLocaleString('en');
const plural = (n, one, many) => number(n) + ' ' + (n === 1 ? one : many);

function bytes(n) {
  for (const unit of ['B', 'KiB', 'MiB']) {
    if (n < 1024) return (unit === 'B' ? String(n) : n.toFixed(1)) + ' ' + unit;
    n /= 1024;
  }
  return n.toFixed(1) + ' GiB';
}

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
}

const now = () => Date.now() + skew;
const ago = (time) => time ? span(now() - Date.parse(time)) + ' ago' : '–';

// stamp is a time in UTC as logs have it; the day only when it is not today.
function stamp(time) {
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

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function banner(kind, text) {
  $('banner').className = 'banner ' + kind;
  say($('banner'), text);
  $('banner').hidden = text === '';
}

function notice(kind, text) {
  $('notice').className = 'banner ' + kind;
  say($('notice'), text);
  $('notice').hidden = text === '';
}

function state(kind, text) {
  $('state').className = 'badge ' + kind;
  say($('state'), text);
  document.title = text + ' · gatecast ' + $('node-id').textContent;
}

// fill makes the rows of a table those of the list, and keeps a row that stays, so
// that focus and a selection stay with it. cells returns [label, text, class] each.
function fill(body, list, key, cells, made, empty) {
  const keys = new Set(list.map(key));
  const old = new Map();
  for (const row of [...body.rows]) {
    if (keys.has(row.dataset.key)) old.set(row.dataset.key, row);
    else row.remove();
  }
  let place = body.firstElementChild;
  for (const item of list) {
    const row = old.get(key(item)) ?? newRow(key(item), cells(item), made, item);
    cells(item).forEach(([, text, kind], i) => {
      say(row.cells[i].firstElementChild ?? row.cells[i], text);
      (row.cells[i].firstElementChild ?? row.cells[i]).className = kind;
    });
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
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

// ---- what is shown ----

function showNode(node) {
  say($('node-id'), node.id);
  say($('node-facts'), `version ${node.version}, up for ${span(now() - Date.parse(node.startedAt))}, since ${stamp(node.startedAt)} UTC`);
}

// rates returns what happened a second since the last look, null at the first one.
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
  say($('connections'), number(connections.totalActive));
  say($('gateways'), number(sum((s) => s.gateways)));
  say($('queued'), bytes(sum((s) => s.queued)));
  say($('rate'), perSecond(rate.restarted ? null : rate.shards.reduce((a, b) => a + b, 0)));
  say($('delivered'), number(delivery.totalEventsSent) + ' since the start');
  say($('failed'), number(delivery.failedDeliveries));
  $('failed').classList.toggle('alarm', rate.failed > 0);
  say($('failed-rate'), rate.failed > 0 ? perSecond(rate.failed) + ' a second now' : 'since the start');
  say($('last-failure'), delivery.lastFailureTime ? ago(delivery.lastFailureTime) : 'none');
  say($('last-reason'), delivery.lastFailureReason ?? '');
}

function showShards(shards, rate) {
  const most = Math.max(1, ...shards.map((s) => s.connections));
  const body = $('shards');
  while (body.rows.length > shards.length) body.deleteRow(-1);
  while (body.rows.length < shards.length) addShard(body);
  shards.forEach((s, i) => {
    const cells = body.rows[i].cells;
    say(cells[1].querySelector('span'), number(s.connections));
    cells[1].querySelector('i').style.width = 100 * s.connections / most + '%';
    [number(s.gateways), bytes(s.queued), perSecond(rate.shards[i])].forEach((text, n) => say(cells[n + 2], text));
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
  ['Connected since', stamp(c.connectedAt), 'time'],
  ['Last heard', ago(c.lastHeartbeat), 'number'],
  ['Events sent', number(c.eventsSent), 'number'],
  ['Queued', bytes(c.queuedBytes), 'number'],
  ['Cursor', c.cursor ?? '–', 'code'],
  ['Shard', String(c.shard), 'number'],
];

function addKick(row, connection) {
  const cell = row.insertCell();
  cell.setAttribute('role', 'cell');
  cell.className = 'kick';
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Kick';
  button.setAttribute('aria-label', `Kick ${connection.gatewayId} at ${connection.remoteAddr}`);
  button.addEventListener('click', () => openKick(connection, button));
  cell.append(button);
}

async function showConnections(list, total, mine) {
  let empty = 'No gateway is connected to this node.';
  if (pages.length > 1) empty = 'There is nothing on this page any more. Go back a page.';
  else if (filter !== '' && list.length === 0) {
    empty = await absent();
    if (mine !== look) return;
  }
  say($('connections-note'), filter === '' ? plural(total, 'connection', 'connections') : 'Only gateway ' + filter);
  fill($('rows'), list, (c) => c.connectionId, connectionCells, addKick, empty);
  $('previous').disabled = pages.length === 1;
  $('next').disabled = nextPage === '';
  say($('page'), 'Page ' + pages.length);
}

// absent says why a gateway has no connection.
async function absent() {
  const answer = await ask(root + '/gateways/' + encodeURIComponent(filter));
  if (answer.status === 200) return `Gateway ${filter} is registered, and has no connection to this node.`;
  if (answer.status === 404) return `Gateway ${filter} has no connection to this node, and is not registered.`;
  return `Gateway ${filter} has no connection to this node.`;
}

const failureCells = (f) => [
  ['Time', stamp(f.time), 'time'],
  ['Gateway', f.gatewayId, 'code'],
  ['Reason', f.reason.replaceAll('_', ' '), ''],
  ['Event type', f.type, 'code'],
  ['Event', f.eventId, 'code'],
  ['Correlation id', f.correlationId, 'code'],
];

const failureKey = (f) => [f.time, f.eventId, f.gatewayId, f.reason].join(' ');

// followFailures reads the failed deliveries behind those that are known. The node
// lists the oldest first: so the first look begins an hour back, and when that
// is more than a few pages, a minute back. It has its own pace: the list comes from
// the log, which may be out of reach while the node answers.
async function followFailures(total) {
  failures ??= { from: new Date(now() - 3600e3).toISOString(), reach: 'the last hour', first: true, list: [], known: new Set() };
  const f = failures;
  if (f.busy || f.total === total && !f.behind && performance.now() - f.at < 5 * every) return;
  f.busy = true;
  let answer = await readFailures(f);
  if (answer?.status === 200 && f.first && f.behind) {
    Object.assign(f, { from: new Date(now() - 60e3).toISOString(), reach: 'the last minute, for there are many', list: [], known: new Set(), cursor: '' });
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
    answer = await ask(root + '/deliveries?' + q).catch(() => ({ status: 0, body: { message: 'no answer' } }));
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
    f.behind = f.cursor !== '';
    if (!f.behind) break;
  }
  if (!f.behind && f.list.length > 0) {
    // The next look asks from the newest on, and gets that one again.
    f.from = f.list.reduce((latest, d) => d.time > latest ? d.time : latest, f.from);
    f.known = new Set(f.list.map(failureKey));
  }
  return answer;
}

function showFailures(f, answer) {
  if (answer.status !== 200) {
    say($('failures-note'), 'The failed deliveries cannot be listed now: ' + (answer.body.message ?? answer.status));
    return;
  }
  let note = `Of ${f.reach}, newest first${f.list.length === failuresKept ? `, the newest ${failuresKept}` : ''}.`;
  if (f.behind) note = `Still reading, so far up to ${stamp(f.list.at(-1)?.time)} UTC.`;
  say($('failures-note'), note);
  const list = f.list.toReversed();
  const shown = failuresOpen ? list : list.slice(0, failuresFolded);
  fill($('failures'), shown, failureKey, failureCells, null, filter === '' ? 'None.' : `None for gateway ${filter}.`);
  $('failures-more').hidden = list.length <= failuresFolded;
  say($('failures-more'), failuresOpen ? 'Show fewer' : `Show all ${list.length}`);
}

// ---- looking ----

// run looks now, and again in a while.
async function run() {
  clearTimeout(timer);
  const mine = ++look;
  try {
    await lookOnce(mine);
  } catch (error) {
    if (mine === look) outOfReach(error);
  }
  if (mine === look && !document.hidden) timer = setTimeout(run, every);
}

async function lookOnce(mine) {
  const stats = token === '' ? null : ask(statsPath());
  const [ready, answer] = await Promise.all([ask('/ready'), stats]);
  if (mine !== look) return;
  lastAnswer = Date.now();
  $('live').classList.remove('stale');
  showReady(ready);
  if (answer === null) showTokenForm('');
  else if (answer.status === 200) await show(answer.body, mine);
  else refused(answer);
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
    state('good', 'Ready');
    banner('', '');
  } else if (why === 'draining') {
    state('', 'Draining');
    banner('', 'The node is draining: it stops, takes no more gateways, and closes its connections one after another.');
  } else {
    state('bad', 'Not ready');
    banner('bad', 'The node is not ready, and refuses new connections: ' + why);
  }
}

async function show(stats, mine) {
  $('token-form').hidden = true;
  $('live').hidden = $('forget').hidden = false;
  nextPage = stats.gatewayConnections.cursor ?? '';
  const rate = rates(stats);
  showNode(stats.node);
  state($('state').className.replace('badge ', ''), $('state').textContent); // the title has the node's id
  showTotals(stats, rate);
  showShards(stats.node.shards, rate);
  await showConnections(stats.gatewayConnections.connections, stats.gatewayConnections.totalActive, mine);
  if (mine === look) followFailures(stats.eventDelivery.failedDeliveries);
}

// refused is for stats that the node does not give.
function refused({ status, body }) {
  const why = body.message ?? 'status ' + status;
  if (status === 401) {
    drop();
    showTokenForm('The node does not know this token. Was it replaced, or is it another node\'s?');
  } else if (status === 403) {
    drop();
    showTokenForm('This token may not read. Use one with the scope read or admin.');
  } else if (status === 400 && body.field === 'cursor') {
    pages = [''];
    setTimeout(run);
  } else {
    banner('bad', 'The stats cannot be had now: ' + why);
  }
}

function outOfReach(error) {
  state('bad', 'Out of reach');
  $('live').classList.add('stale');
  const why = error.name === 'TimeoutError' ? `It has not answered for ${patience / 1000} s.` : 'It may have stopped, or the network to it is down.';
  const since = lastAnswer === 0 ? '' : ` It answered last at ${stamp(lastAnswer + skew)} UTC; what is shown below is from then.`;
  banner('bad', `The node is out of reach. ${why}${$('live').hidden ? '' : since} Trying again every ${every / 1000} s.`);
}

function drop() {
  token = '';
  sessionStorage.removeItem(tokenKey);
  before = failures = null;
}

function showTokenForm(error) {
  $('live').hidden = $('forget').hidden = true;
  if (error !== '') say($('token-error'), error);
  if (!$('token-form').hidden) return;
  $('token-form').hidden = false;
  $('token').focus();
}

// ---- closing a connection ----

function openKick(connection, button) {
  toClose = connection;
  opener = button;
  say($('kick-text'), `Gateway ${connection.gatewayId} at ${connection.remoteAddr}, connection ${connection.connectionId}.`);
  $('kick').showModal();
  $('kick-no').focus(); // the answer that changes nothing
}

async function kick() {
  const c = toClose;
  $('kick').close();
  const name = `the connection of ${c.gatewayId} at ${c.remoteAddr}`;
  try {
    const { status, body } = await ask(root + '/connections/' + encodeURIComponent(c.connectionId), 'DELETE');
    if (status === 204) notice('good', `Closed ${name}.`);
    else if (status === 404) notice('', `There was nothing to close: ${name} has ended by itself.`);
    else if (status === 403) {
      $('live').classList.add('no-kick');
      notice('', 'This token may only look: to close connections, forget it and use one with the scope admin.');
    } else notice('bad', `Could not close ${name}: ${body.message ?? 'status ' + status}`);
  } catch {
    notice('bad', `Could not close ${name}: the node is out of reach.`);
  }
  run();
}

// ---- what the user does ----

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('token').value.trim();
  if (!/^[\x21-\x7e]+$/.test(text)) {
    say($('token-error'), 'That is no token: it has no spaces, and only ASCII characters.');
    return;
  }
  token = text;
  sessionStorage.setItem(tokenKey, token);
  $('token').value = '';
  say($('token-error'), '');
  $('live').classList.remove('no-kick');
  notice('', '');
  run();
});

$('forget').addEventListener('click', () => {
  drop();
  say($('token-error'), '');
  notice('', '');
  run();
});

function setFilter(id) {
  filter = id;
  $('filter').value = id;
  $('filter-clear').hidden = id === '';
  pages = [''];
  failures = null;
  say($('filter-error'), '');
  run();
}

$('filter-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const id = $('filter').value.trim();
  if (/^[A-Za-z0-9_-]{0,64}$/.test(id)) setFilter(id);
  else say($('filter-error'), 'A gateway id has 1 to 64 letters, digits, _ and -.');
});
$('filter-clear').addEventListener('click', () => {
  setFilter('');
  $('filter').focus();
});

$('next').addEventListener('click', () => {
  pages.push(nextPage);
  $('next').disabled = true; // until it is there
  run();
});
$('previous').addEventListener('click', () => {
  pages.pop();
  $('previous').disabled = true;
  run();
});

$('failures-more').addEventListener('click', () => {
  failuresOpen = !failuresOpen;
  showFailures(failures, { status: 200 });
});

$('kick-yes').addEventListener('click', kick);
$('kick-no').addEventListener('click', () => $('kick').close());
$('kick').addEventListener('close', () => (opener.isConnected ? opener : $('connections-title')).focus());

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) run();
});

run();
