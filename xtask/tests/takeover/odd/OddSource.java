package odd;

import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

/** A connector that only the JVM knows. */
public class OddSource extends SourceConnector {
    public String version() { return "1"; }
    public void start(Map<String, String> config) { }
    public Class<? extends Task> taskClass() { return OddTask.class; }
    public List<Map<String, String>> taskConfigs(int most) { return List.of(Map.of()); }
    public void stop() { }
    public ConfigDef config() { return new ConfigDef(); }

    public static class OddTask extends SourceTask {
        public String version() { return "1"; }
        public void start(Map<String, String> config) { }
        public List<SourceRecord> poll() { return null; }
        public void stop() { }
    }
}
