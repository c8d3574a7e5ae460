import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;

/** The application of the battery for the JDK's own server: {@code java App.java PORT}. */
public class App {
    private static final ConcurrentHashMap<String, Integer> SEEN = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws IOException {
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var server = HttpServer.create(address, 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/early", exchange -> answer(exchange, 413, "early\n".getBytes()));
        server.createContext("/stream", App::stream);
        server.createContext("/", App::echo);
        server.start();
    }

    private static void stream(HttpExchange exchange) throws IOException {
        exchange.sendResponseHeaders(200, 0);
        try (var body = exchange.getResponseBody()) {
            for (var piece : new String[] {"one\n", "two\n", "three\n"}) {
                body.write(piece.getBytes());
                body.flush();
            }
        }
    }

    private static void echo(HttpExchange exchange) throws IOException {
        var body = exchange.getRequestBody().readAllBytes();
        var name = exchange.getRequestHeaders().getFirst("X-Id");
        var seen = SEEN.merge(name == null ? "" : name, 1, Integer::sum);
        var report = String.format("{\"method\": \"%s\", \"path\": \"%s\", \"length\": %d, \"sha256\": \"%s\", \"seen\": %d}\n",
            exchange.getRequestMethod(), exchange.getRequestURI(), body.length, sha256(body), seen);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        answer(exchange, 200, report.getBytes(StandardCharsets.US_ASCII));
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        var isHead = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, isHead ? -1 : body.length);
        if (!isHead) {
            exchange.getResponseBody().write(body);
        }
        exchange.close();
    }

    private static String sha256(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
