import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/** Asks Apache Kafka's transformations and predicates what becomes of the records in a file of cases. */
public final class Golden {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter SCHEMAS = new JsonConverter();
    private static final JsonConverter PLAIN = new JsonConverter();

    public static void main(String[] args) throws Exception {
        SCHEMAS.configure(Map.of("schemas.enable", "true", "converter.type", "value", "replace.null.with.default", "false"));
        PLAIN.configure(Map.of("schemas.enable", "false", "converter.type", "value"));
        List<String> answers = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            ObjectNode test = (ObjectNode) JSON.readTree(line);
            test.remove("java");
            test.set("java", answer(test));
            answers.add(JSON.writeValueAsString(test));
        }
        Files.write(Path.of(args[0]), answers);
    }

    private static ObjectNode answer(JsonNode test) {
        ObjectNode answer = JSON.createObjectNode();
        String stage = "configure";
        try {
            List<Object> chain = new ArrayList<>();
            for (JsonNode step : test.get("chain")) {
                chain.add(plugin(step, answer));
            }
            stage = "read";
            ConnectRecord<?> record = record(test.get("record"));
            stage = "apply";
            boolean holds = true;
            for (Object step : chain) {
                if (step instanceof Predicate) {
                    holds = test(step, record);
                    answer.put("holds", holds);
                } else if (record != null && holds) {
                    record = apply(step, record);
                }
            }
            if (record == null) {
                return answer.put("dropped", true);
            }
            stage = "write";
            write(record, answer);
        } catch (Exception e) {
            answer.put("stage", stage).put("class", e.getClass().getName()).put("error", e.getMessage());
        }
        return answer;
    }

    private static Object plugin(JsonNode step, ObjectNode answer) throws Exception {
        Object plugin = Class.forName("org.apache.kafka.connect.transforms." + step.get("class").asText())
            .getDeclaredConstructor().newInstance();
        Map<String, String> config = new HashMap<>();
        if (step.has("config")) {
            step.get("config").properties().forEach(e -> config.put(e.getKey(), e.getValue().asText()));
        }
        ConfigDef def = plugin instanceof Transformation ? ((Transformation<?>) plugin).config() : ((Predicate<?>) plugin).config();
        for (ConfigValue value : def.validate(config)) {
            for (String message : value.errorMessages()) {
                answer.withArray("invalid").add(JSON.createArrayNode().add(value.name()).add(message));
            }
        }
        if (plugin instanceof Transformation) {
            ((Transformation<?>) plugin).configure(config);
        } else {
            ((Predicate<?>) plugin).configure(config);
        }
        return plugin;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static boolean test(Object predicate, ConnectRecord record) {
        return ((Predicate) predicate).test(record);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static ConnectRecord<?> apply(Object transformation, ConnectRecord record) {
        return (ConnectRecord<?>) ((Transformation) transformation).apply(record);
    }

    private static ConnectRecord<?> record(JsonNode node) throws Exception {
        SchemaAndValue key = read(node.get("key"));
        SchemaAndValue value = read(node.get("value"));
        String topic = node.path("topic").asText("t");
        Integer partition = node.hasNonNull("partition") ? node.get("partition").intValue() : null;
        Long timestamp = node.hasNonNull("timestamp") ? node.get("timestamp").longValue() : null;
        ConnectHeaders headers = new ConnectHeaders();
        for (JsonNode header : node.path("headers")) {
            headers.add(header.get(0).asText(), read(header.get(1)));
        }
        if (node.hasNonNull("offset")) {
            return new SinkRecord(topic, partition == null ? 0 : partition, key.schema(), key.value(), value.schema(),
                value.value(), node.get("offset").longValue(), timestamp, TimestampType.CREATE_TIME, headers);
        }
        return new SourceRecord(Map.of(), Map.of(), topic, partition, key.schema(), key.value(), value.schema(),
            value.value(), timestamp, headers);
    }

    /** {schema, payload} as JsonConverter reads it, {built, typed}, {json} without schema, or {typed} without schema. */
    private static SchemaAndValue read(JsonNode node) throws Exception {
        if (node == null || node.isNull()) {
            return SchemaAndValue.NULL;
        }
        if (node.has("built")) {
            Schema schema = built(node.get("built"));
            return new SchemaAndValue(schema, typed(schema, node.get("typed")));
        }
        if (node.has("schema")) {
            return SCHEMAS.toConnectData("t", JSON.writeValueAsBytes(node));
        }
        if (node.has("json")) {
            return PLAIN.toConnectData("t", JSON.writeValueAsBytes(node.get("json")));
        }
        return new SchemaAndValue(null, typed(null, node.get("typed")));
    }

    /** A struct in the JSON of JsonConverter, but with a default that is typed: JsonConverter reads no default of a struct. */
    private static Schema built(JsonNode node) {
        if (!node.get("type").asText().equals("struct")) {
            return SCHEMAS.asConnectSchema(node);
        }
        SchemaBuilder builder = SchemaBuilder.struct();
        for (JsonNode field : node.get("fields")) {
            builder.field(field.get("field").asText(), built(field));
        }
        if (node.path("optional").asBoolean()) {
            builder.optional();
        }
        if (node.has("name")) {
            builder.name(node.get("name").asText());
        }
        if (node.has("default")) {
            builder.defaultValue(typed(builder, node.get("default")));
        }
        return builder.build();
    }

    private static Object typed(Schema schema, JsonNode node) {
        if (node.isNull()) {
            return null;
        }
        Map.Entry<String, JsonNode> entry = node.properties().iterator().next();
        JsonNode value = entry.getValue();
        switch (entry.getKey()) {
            case "boolean": return value.booleanValue();
            case "int8": return (byte) value.intValue();
            case "int16": return (short) value.intValue();
            case "int32": return value.intValue();
            case "int64": return value.longValue();
            case "float32": return Float.valueOf(value.asText());
            case "float64": return Double.valueOf(value.asText());
            case "string": return value.textValue();
            case "bytes": return Base64.getDecoder().decode(value.textValue());
            case "decimal": return new BigDecimal(new BigInteger(value.get(0).asText()), value.get(1).intValue());
            case "timestamp": return new Date(value.longValue());
            case "array": {
                List<Object> list = new ArrayList<>();
                value.forEach(item -> list.add(typed(null, item)));
                return list;
            }
            case "map": {
                Map<Object, Object> map = new LinkedHashMap<>();
                value.properties().forEach(e -> map.put(e.getKey(), typed(null, e.getValue())));
                return map;
            }
            case "struct": {
                Struct struct = new Struct(schema);
                for (Field field : schema.fields()) {
                    Object part = typed(field.schema(), value.get(field.index()));
                    if (part != null) {
                        struct.put(field, part);
                    }
                }
                return struct;
            }
            default: throw new IllegalArgumentException(entry.getKey());
        }
    }

    private static void write(ConnectRecord<?> record, ObjectNode answer) {
        answer.put("topic", record.topic()).put("partition", record.kafkaPartition()).put("timestamp", record.timestamp());
        answer.set("key", written(record.keySchema(), record.key()));
        answer.set("value", written(record.valueSchema(), record.value()));
        ArrayNode headers = answer.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(written(header.schema(), header.value()));
        }
    }

    /** The value with its classes; with a schema, also what JsonConverter makes of it, or why it cannot. */
    private static ObjectNode written(Schema schema, Object value) {
        ObjectNode node = JSON.createObjectNode();
        node.set("typed", typed(value));
        if (schema != null) {
            try {
                node.put("json", new String(SCHEMAS.fromConnectData("t", schema, value), StandardCharsets.UTF_8));
            } catch (Exception e) {
                node.put("json_error", e.getMessage());
            }
        }
        return node;
    }

    private static JsonNode typed(Object value) {
        if (value == null) {
            return JSON.nullNode();
        }
        ObjectNode node = JSON.createObjectNode();
        if (value instanceof Boolean b) {
            return node.put("boolean", b);
        } else if (value instanceof Byte n) {
            return node.put("int8", n.intValue());
        } else if (value instanceof Short n) {
            return node.put("int16", n.intValue());
        } else if (value instanceof Integer n) {
            return node.put("int32", n);
        } else if (value instanceof Long n) {
            return node.put("int64", n);
        } else if (value instanceof Float n) {
            return node.put("float32", n.toString());
        } else if (value instanceof Double n) {
            return node.put("float64", n.toString());
        } else if (value instanceof String s) {
            return node.put("string", s);
        } else if (value instanceof byte[] b) {
            return node.put("bytes", Base64.getEncoder().encodeToString(b));
        } else if (value instanceof BigDecimal d) {
            node.putArray("decimal").add(d.unscaledValue().toString()).add(d.scale());
            return node;
        } else if (value instanceof Date d) {
            return node.put("timestamp", d.getTime());
        } else if (value instanceof List<?> list) {
            ArrayNode items = node.putArray("array");
            list.forEach(item -> items.add(typed(item)));
            return node;
        } else if (value instanceof Map<?, ?> map) {
            // In the order of the keys: a HashMap has none of its own.
            ObjectNode entries = node.putObject("map");
            map.entrySet().stream().sorted((a, b) -> a.getKey().toString().compareTo(b.getKey().toString()))
                .forEach(e -> entries.set(e.getKey().toString(), typed(e.getValue())));
            return node;
        } else if (value instanceof Struct struct) {
            ArrayNode parts = node.putArray("struct");
            struct.schema().fields().forEach(field -> parts.add(typed(struct.getWithoutDefault(field.name()))));
            return node;
        }
        throw new IllegalArgumentException(value.getClass().getName());
    }
}
