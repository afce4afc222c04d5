# Verify a Juniper webhook with Perl's core modules.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);

# Say whether Juniper signed exactly these bytes in the last five minutes.
sub verify {
    my ($body, $header, $secret, $now) = @_;
    my (@times, @signatures);
    for my $part (split /,/, $header) {
        my ($name, $value) = split /=/, $part, 2;
        push @times, $value // '' if ($name // '') eq 't';
        push @signatures, $value // '' if ($name // '') eq 'v1';
    }
    return 0 if @times != 1 || $times[0] !~ /\A[0-9]+\z/;
    return 0 if abs(($now // time) - $times[0]) > 300;
    my $expected = hmac_sha256_hex("$times[0].$body", $secret);
    my $fits = 0;
    for my $given (@signatures) {
        next if length $given != length $expected;
        my $differs = 0;    # every byte is looked at: the time says nothing
        $differs |= ord(substr $given, $_, 1) ^ ord(substr $expected, $_, 1) for 0 .. length($expected) - 1;
        $fits ||= !$differs;
    }
    return $fits;
}

# perl verify.pl HEADER SECRET [NOW] < body
unless (caller) {
    my ($header, $secret, $now) = @ARGV;
    binmode STDIN;
    my $body = do { local $/; <STDIN> } // '';
    exit(verify($body, $header, $secret, $now) ? 0 : 1);
}
1;
