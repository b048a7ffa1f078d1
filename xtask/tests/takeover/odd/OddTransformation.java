package odd;

import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.transforms.InsertField;

/** A transformation that only the JVM knows. */
public class OddTransformation<R extends ConnectRecord<R>> extends InsertField.Value<R> { }
