import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Path;

/** Starts HiveMQ CE embedded, since the standalone one refuses every CONNECT without a security extension. */
public class HiveRun {
    /** CONFIG_FOLDER DATA_FOLDER EXTENSIONS_FOLDER */
    public static void main(String[] args) throws Exception {
        EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
                .withConfigurationFolder(Path.of(args[0]))
                .withDataFolder(Path.of(args[1]))
                .withExtensionsFolder(Path.of(args[2]))
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> broker.stop().join()));
        broker.start().join();
        Thread.currentThread().join();
    }
}
