<?php
// Verify a Juniper webhook with PHP, no dependency. The body is file_get_contents('php://input').

/** Say whether Juniper signed exactly these bytes in the last five minutes. */
function verify(string $body, string $header, string $secret, ?float $now = null): bool
{
    $times = $signatures = [];
    foreach (explode(',', $header) as $part) {
        [$name, $value] = explode('=', $part, 2) + [1 => ''];
        if ($name === 't') $times[] = $value;
        if ($name === 'v1') $signatures[] = $value;
    }
    if (count($times) !== 1 || !preg_match('/\A[0-9]+\z/', $times[0])) return false;
    if (abs(($now ?? microtime(true)) - (int) $times[0]) > 300) return false;
    $expected = hash_hmac('sha256', "{$times[0]}.$body", $secret);
    $fits = false;
    foreach ($signatures as $signature) {
        $fits = hash_equals($expected, $signature) || $fits;
    }
    return $fits;
}

// php verify.php HEADER SECRET [NOW] < body
if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    exit(verify(stream_get_contents(STDIN), $argv[1], $argv[2], isset($argv[3]) ? (float) $argv[3] : null) ? 0 : 1);
}
