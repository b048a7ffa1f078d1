package odd;

import org.apache.kafka.connect.json.JsonConverter;

/** A converter that only the JVM knows. */
public class OddConverter extends JsonConverter { }
