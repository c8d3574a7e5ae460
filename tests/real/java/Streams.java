import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Posts bodies of many lengths at once to a URL, preferring HTTP/2; prints the version, status and body of each answer. */
public class Streams {
    public static void main(String[] arguments) throws Exception {
        HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2);
        if (arguments.length > 2) {
            builder.sslContext(trusting(arguments[2]));
        }
        HttpClient client = builder.build();
        List<CompletableFuture<HttpResponse<String>>> asked = new ArrayList<>();
        for (int number = 0; number < Integer.parseInt(arguments[1]); number++) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0] + "/" + number)).timeout(Duration.ofSeconds(20));
            if (number % 2 == 1) {
                request.POST(HttpRequest.BodyPublishers.ofString("x".repeat(20000 * number)));
            }
            asked.add(client.sendAsync(request.build(), HttpResponse.BodyHandlers.ofString()));
            if (number == 0) {
                asked.get(0).get();
            }
        }
        for (CompletableFuture<HttpResponse<String>> answer : asked) {
            HttpResponse<String> got = answer.get();
            System.out.println(got.version() + "\t" + got.statusCode() + "\t" + got.body().strip());
        }
    }

    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(file)));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
