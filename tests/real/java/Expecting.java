import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Posts to a URL as often as it is told, and sends each body only after a 100. */
public class Expecting {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (int number = 0; number < Integer.parseInt(arguments[1]); number++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                    .expectContinue(true)
                    .timeout(Duration.ofSeconds(Integer.parseInt(arguments[2])))
                    .POST(HttpRequest.BodyPublishers.ofString("body " + number))
                    .build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.body());
        }
    }
}
