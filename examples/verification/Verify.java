import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Verifies a Juniper webhook with Java 17, no dependency. */
public final class Verify {
    /** Says whether Juniper signed exactly these bytes in the last five minutes. */
    public static boolean verify(byte[] body, String header, String secret, double now)
            throws GeneralSecurityException {
        List<String> times = new ArrayList<>();
        List<String> signatures = new ArrayList<>();
        for (String part : header.split(",")) {
            if (part.startsWith("t=")) times.add(part.substring(2));
            if (part.startsWith("v1=")) signatures.add(part.substring(3));
        }
        if (times.size() != 1 || !times.get(0).matches("[0-9]{1,12}")) return false;
        if (Math.abs(now - Long.parseLong(times.get(0))) > 300) return false;
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        mac.update((times.get(0) + ".").getBytes(StandardCharsets.UTF_8));
        byte[] expected = HexFormat.of().formatHex(mac.doFinal(body)).getBytes(StandardCharsets.UTF_8);
        boolean fits = false;
        for (String signature : signatures) {
            fits |= MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8)); // constant time
        }
        return fits;
    }

    /** java Verify.java HEADER SECRET [NOW] < body */
    public static void main(String[] given) throws Exception {
        double now = given.length > 2 ? Double.parseDouble(given[2]) : System.currentTimeMillis() / 1000.0;
        System.exit(verify(System.in.readAllBytes(), given[0], given[1], now) ? 0 : 1);
    }
}
