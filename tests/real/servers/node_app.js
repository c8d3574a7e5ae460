// The application of the battery for Node: `node node_app.js PORT`.
'use strict';
const crypto = require('node:crypto');
const http = require('node:http');

const seen = new Map();

function echo(request, response) {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
        const body = Buffer.concat(pieces);
        const name = request.headers['x-id'] || '';
        seen.set(name, (seen.get(name) || 0) + 1);
        const report = {
            method: request.method,
            path: request.url,
            length: body.length,
            sha256: crypto.createHash('sha256').update(body).digest('hex'),
            seen: seen.get(name),
        };
        const answer = JSON.stringify(report) + '\n';
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': answer.length });
        response.end(answer);
    });
}

const server = http.createServer((request, response) => {
    if (request.url === '/early') {
        response.writeHead(413, { 'Content-Type': 'text/plain', 'Content-Length': 6 });
        response.end('early\n');
    } else if (request.url === '/stream') {
        response.writeHead(200, { 'Content-Type': 'text/plain' });
        for (const piece of ['one\n', 'two\n', 'three\n']) response.write(piece);
        response.end();
    } else {
        echo(request, response);
    }
});
server.keepAliveTimeout = 1000;
server.listen(Number(process.argv[2]), '127.0.0.1');
