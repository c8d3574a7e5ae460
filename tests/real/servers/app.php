<?php
// The application of the battery for PHP's own server: `php -S HOST:PORT app.php`. A process answers each request anew, so
// what was seen is counted in a file beside the server.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/early') {
    http_response_code(413);
    header('Content-Length: 6');
    echo "early\n";
    return;
}
if ($path === '/stream') {
    header('Content-Type: text/plain');
    foreach (["one\n", "two\n", "three\n"] as $piece) {
        echo $piece;
        flush();
    }
    return;
}
$body = file_get_contents('php://input');
$counter = getenv('SEEN') . '/' . sha1($_SERVER['HTTP_X_ID'] ?? '');
file_put_contents($counter, 'x', FILE_APPEND | LOCK_EX);
clearstatcache();
$answer = json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'path' => $path,
    'length' => strlen($body),
    'sha256' => hash('sha256', $body),
    'seen' => filesize($counter),
], JSON_UNESCAPED_SLASHES) . "\n";
header('Content-Type: application/json');
header('Content-Length: ' . strlen($answer));
echo $answer;
