# Verify a Juniper webhook with Ruby's standard library. In Rails the body is request.raw_post.
require "openssl"

# Say whether Juniper signed exactly these bytes in the last five minutes.
def verify(body, header, secret, now = Time.now.to_f)
  pairs = header.split(",").map { |part| part.split("=", 2) }
  times = pairs.filter_map { |name, value| value if name == "t" }
  return false unless times.one? && times.first.to_s.match?(/\A[0-9]+\z/)
  return false if (now - times.first.to_i).abs > 300

  expected = OpenSSL::HMAC.hexdigest("SHA256", secret, "#{times.first}.".b + body.b)
  signatures = pairs.filter_map { |name, value| value if name == "v1" && value }
  signatures.map { |given| OpenSSL.secure_compare(expected, given) }.any?
end

# ruby verify.rb HEADER SECRET [NOW] < body
if __FILE__ == $PROGRAM_NAME
  header, secret, now = ARGV
  exit verify($stdin.binmode.read, header, secret, now ? now.to_f : Time.now.to_f)
end
