// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// A driver: one connection of npm's ws, told what to do in JSON lines on
// standard input, telling what it sees in JSON lines on standard output.
// The protocol is in ../driver_test.go. At the end of input it is gone, without
// a goodbye.

import { readFileSync } from "node:fs";
import { request } from "node:https";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const report = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const failed = (error) => report({ event: "error", message: error.message || error.code });

function options(dial) {
  const headers = { ...dial.headers };
  if (dial.apiKey !== undefined) headers["api-key"] = dial.apiKey;
  return {
    headers,
    ca: dial.ca && readFileSync(dial.ca),
    rejectUnauthorized: !dial.insecure,
    perMessageDeflate: !dial.noCompression && { threshold: 100 },
    maxVersion: dial.maxTLS && "TLSv" + dial.maxTLS,
  };
}

function answered(event, response) {
  const body = [];
  response.on("data", (chunk) => body.push(chunk));
  response.on("error", failed);
  response.on("end", () => report({
    event,
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.concat(body).toString(),
  }));
}

function ask(dial) {
  const asked = request(dial.url, { ...options(dial), method: dial.method, agent: false });
  asked.on("response", (response) => answered("response", response));
  asked.on("error", failed);
  asked.end(dial.body);
}

function connect(dial) {
  const socket = new WebSocket(dial.url, options(dial));
  let opened = false;
  socket.on("open", () => {
    opened = true;
    report({ event: "open", tls: socket._socket.getProtocol(), extensions: socket.extensions });
  });
  socket.on("message", (data, binary) => report({ event: binary ? "binary" : "message", data: data.toString() }));
  socket.on("ping", () => report({ event: "ping" }));
  socket.on("pong", () => report({ event: "pong" }));
  socket.on("unexpected-response", (_, response) => answered("refused", response));
  socket.on("error", (error) => { if (!opened) failed(error); }); // afterwards it is in the close
  socket.on("close", (code, reason) => { if (opened) report({ event: "close", code, reason: reason.toString() }); });
  return socket;
}

function obey(socket, command) {
  const ignore = () => {}; // a send that fails shows in the close
  if (command.send !== undefined) socket.send(command.send, ignore);
  if (command.sendBinary !== undefined) socket.send(Buffer.from(command.sendBinary, "base64"), ignore);
  if (command.sendParts !== undefined) {
    const last = command.sendParts.length - 1;
    command.sendParts.forEach((part, i) => socket.send(part, { fin: i === last }, ignore));
  }
  if (command.ping) socket.ping("are you there", ignore);
  if (command.close !== undefined) socket.close(command.close, command.reason);
}

let socket;
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const message = JSON.parse(line);
    if (message.url === undefined) obey(socket, message);
    else if (message.method) ask(message);
    else socket = connect(message);
  })
  .on("close", () => process.exit(0));
