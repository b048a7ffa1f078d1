import java.io.BufferedReader;
import java.io.BufferedWriter;
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

import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;

/** Runs every line of cases.jsonl through Apache Kafka's converters and writes it to golden.jsonl with the answer. */
public final class Golden {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter SCHEMAS = new JsonConverter();

    public static void main(String[] args) throws Exception {
        SCHEMAS.configure(Map.of("schemas.enable", "true", "converter.type", "value"));
        try (BufferedReader in = Files.newBufferedReader(Path.of(args[0]));
             BufferedWriter out = Files.newBufferedWriter(Path.of(args[1]))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (line.isBlank()) {
                    continue;
                }
                ObjectNode test = (ObjectNode) JSON.readTree(line);
                ObjectNode result = JSON.createObjectNode();
                try {
                    run(test, result);
                } catch (Throwable e) {
                    result.removeAll();
                    result.put("error", e.getMessage()).put("class", e.getClass().getName());
                }
                test.set("java", result);
                out.write(JSON.writeValueAsString(test));
                out.write('\n');
            }
        }
    }

    private static void run(JsonNode test, ObjectNode result) throws Exception {
        Object converter = Class.forName(test.get("converter").asText()).getDeclaredConstructor().newInstance();
        Map<String, String> config = new HashMap<>(Map.of("converter.type", "value"));
        if (test.has("config")) {
            test.get("config").properties().forEach(e -> config.put(e.getKey(), e.getValue().asText()));
        }
        if (converter instanceof Converter) {
            ((Converter) converter).configure(config, false);
        } else {
            ((HeaderConverter) converter).configure(config);
        }
        if (test.get("op").asText().equals("encode")) {
            JsonNode schemaNode = test.get("schema");
            Schema schema = schemaNode == null ? null : SCHEMAS.asConnectSchema(schemaNode);
            Object value = read(schema, test.get("value"));
            byte[] bytes = converter instanceof Converter
                ? ((Converter) converter).fromConnectData("t", schema, value)
                : ((HeaderConverter) converter).fromConnectHeader("t", "h", schema, value);
            if (bytes == null) {
                result.putNull("bytes");
            } else {
                result.put("bytes", Base64.getEncoder().encodeToString(bytes));
                result.put("utf8", new String(bytes, StandardCharsets.UTF_8));
            }
            return;
        }
        byte[] bytes = test.has("text") ? test.get("text").asText().getBytes(StandardCharsets.UTF_8)
            : test.get("bytes").isNull() ? null : Base64.getDecoder().decode(test.get("bytes").asText());
        SchemaAndValue read = converter instanceof Converter
            ? ((Converter) converter).toConnectData("t", bytes)
            : ((HeaderConverter) converter).toConnectHeader("t", "h", bytes);
        result.set("schema", read == null ? null : SCHEMAS.asJsonSchema(read.schema()));
        result.set("value", write(read == null ? null : read.value()));
    }

    private static Object read(Schema schema, JsonNode node) {
        if (node == null || node.isNull()) {
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
            case "date": return new Date(value.longValue() * 86_400_000L);
            case "time":
            case "timestamp": return new Date(value.longValue());
            case "array": {
                List<Object> list = new ArrayList<>();
                value.forEach(item -> list.add(read(schema == null ? null : schema.valueSchema(), item)));
                return list;
            }
            case "map": {
                // Of the class that a converter makes, unless there is an order to keep.
                Map<Object, Object> map = value.size() > 1 ? new LinkedHashMap<>() : new HashMap<>();
                value.forEach(pair -> map.put(
                    read(schema == null ? null : schema.keySchema(), pair.get(0)),
                    read(schema == null ? null : schema.valueSchema(), pair.get(1))));
                return map;
            }
            case "struct": {
                Struct struct = new Struct(schema);
                int i = 0;
                for (Field field : schema.fields()) {
                    Object part = read(field.schema(), value.get(i++));
                    if (part != null) {
                        struct.put(field, part);
                    }
                }
                return struct;
            }
            default: throw new IllegalArgumentException(entry.getKey());
        }
    }

    private static JsonNode write(Object value) {
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
            return node.put("instant", d.getTime());
        } else if (value instanceof List<?> list) {
            ArrayNode items = node.putArray("array");
            list.forEach(item -> items.add(write(item)));
            return node;
        } else if (value instanceof Map<?, ?> map) {
            // In the order of the keys' text: a HashMap has none of its own.
            List<ArrayNode> pairs = new ArrayList<>();
            map.forEach((k, v) -> pairs.add(JSON.createArrayNode().add(write(k)).add(write(v))));
            pairs.sort((a, b) -> a.get(0).toString().compareTo(b.get(0).toString()));
            node.putArray("map").addAll(pairs);
            return node;
        } else if (value instanceof Struct struct) {
            ArrayNode parts = node.putArray("struct");
            struct.schema().fields().forEach(field -> parts.add(write(struct.getWithoutDefault(field.name()))));
            return node;
        }
        throw new IllegalArgumentException(value.getClass().getName());
    }
}
