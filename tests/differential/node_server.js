// Node's own HTTP server. For each request it writes a line to the log: the client, what a proxy says of it, method, target,
// whether the body was whole, and how long it was.
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const server = http.createServer((request, response) => {
  // A socket that is gone has forgotten whose it was.
  const from = request.socket.remoteAddress;
  let length = 0;
  request.on("data", (piece) => (length += piece.length));
  const tell = (end) => {
    const via = request.headers["x-forwarded-for"] ?? "-";
    fs.appendFileSync(process.argv[2], `${[from, via, request.method, request.url, end, length].join("\t")}\n`);
  };
  request.on("end", () => {
    tell("whole");
    response.end("ok");
  });
  request.on("error", () => tell("cut"));
});
// A client that half-closes still gets its answers.
server.httpAllowHalfOpen = true;
server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
