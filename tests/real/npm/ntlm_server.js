// Says who has logged in by NTLM on the connection; whoever has not gets 401. Any password is right.
"use strict";

const http = require("node:http");
const ntlm = require("express-ntlm")({ domain: "TEST" });

const server = http.createServer((request, response) => {
  response.locals = {};
  response.sendStatus = (status) => {
    response.statusCode = status;
    response.end();
  };
  if (request.url === "/open") {
    return response.end(`open, ${request.connection.ntlm ? request.connection.ntlm.UserName : "nobody"}`);
  }
  ntlm(request, response, () => response.end(response.locals.ntlm.UserName));
});
server.keepAliveTimeout = 60000;
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
