#!/usr/bin/env python3
"""Records what the real Kafka Connect answers to requests that change nothing, for the test `golden`.

  record.py JVM_URL OUR_URL > answers.json
  record.py answers.json OUR_URL > new.json      only our answers anew, for the same requests

Both workers need group.id=kafka-connect-group and JsonConverter for keys and values; the JVM's needs the plugins
connect-file and connect-transforms, and no connectors. An answer of ours that differs is recorded beside the JVM's:
a reviewer sees each difference, and no other can creep in. Python 3 standard library only.
"""
import http.client, json, sys, urllib.parse

SRC = 'org.apache.kafka.connect.file.FileStreamSourceConnector'
SNK = 'org.apache.kafka.connect.file.FileStreamSinkConnector'
T = 'org.apache.kafka.connect.transforms.'
P = T + 'predicates.'
JSONC = 'org.apache.kafka.connect.json.JsonConverter'
JSON_TYPE = {'Content-Type': 'application/json'}
REQUESTS = []


def ask(method, path, body=None, headers=None, raw=None):
    """Adds a request; an object as body is sent as JSON."""
    if body is not None:
        raw = json.dumps(body)
    if headers is None:
        headers = JSON_TYPE if raw is not None else {}
    REQUESTS.append({'method': method, 'path': path, 'headers': headers, 'body': raw})


def validate(config, plugin='FileStreamSource'):
    ask('PUT', '/connector-plugins/%s/config/validate' % plugin, config)


def source(*more):
    c = {'name': 'x', 'connector.class': SRC, 'file': '/tmp/x', 'topic': 't'}
    for m in more:
        c.update(m)
    return c


def sink(*more):
    c = {'name': 'x', 'connector.class': SNK, 'file': '/tmp/x', 'topics': 't'}
    for m in more:
        c.update(m)
    return c


def smt(cls, **settings):
    c = {'transforms': 'a', 'transforms.a.type': cls if '.' in cls else T + cls}
    c.update({'transforms.a.' + k.replace('__', '.'): v for k, v in settings.items()})
    return c


def predicate(cls, **settings):
    c = {'predicates': 'p', 'predicates.p.type': cls if '.' in cls else P + cls}
    c.update({'predicates.p.' + k: v for k, v in settings.items()})
    return c


def requests():
    validate(source())
    validate(sink(), 'FileStreamSink')
    # Every key of the framework, wrong once.
    for key, value in (
            ('tasks.max', 'x'), ('tasks.max', '0'), ('tasks.max', ''), ('tasks.max', '-1'), ('tasks.max', '99999999999'), ('tasks.max', ' 2 '),
            ('tasks.max.enforce', 'x'), ('batch.size', 'abc'), ('batch.size', ''), ('topic', ''), ('topic', ' '), ('name', ''), ('name', ' '), ('name', 'a\u0001b\n'),
            ('errors.tolerance', 'some'), ('errors.tolerance', 'ALL'), ('errors.log.enable', 'maybe'), ('errors.log.enable', 'TRUE'),
            ('errors.log.include.messages', '1'), ('errors.retry.timeout', 'x'), ('errors.retry.timeout', '-1'), ('errors.retry.delay.max.ms', ''),
            ('config.action.reload', 'x'), ('config.action.reload', 'none'), ('exactly.once.support', 'bogus'), ('exactly.once.support', 'required'),
            ('exactly.once.support', 'REQUESTED'), ('transaction.boundary', 'connector'), ('transaction.boundary', 'x'), ('transaction.boundary', 'interval'),
            ('transaction.boundary.interval.ms', '-1'), ('transaction.boundary.interval.ms', 'x'), ('transaction.boundary.interval.ms', '5'), ('offsets.storage.topic', ''),
            ('offsets.storage.topic', 'o'), ('key.converter', 'no.Such'), ('key.converter', 'java.lang.String'), ('key.converter', ''), ('value.converter', 'JsonConverter'),
            ('value.converter', 'Json'), ('value.converter', 'org.apache.kafka.connect.storage.SimpleHeaderConverter'), ('header.converter', JSONC), ('header.converter', 'no.Such'),
            ('header.converter', 'StringConverter'), ('value.converter.schemas.enable', 'bad'), ('connector.plugin.version', '4.3.1'), ('connector.plugin.version', '[4.0,)'),
            ('connector.plugin.version', 'latest'), ('key.converter.plugin.version', '9.9.9'), ('transforms', 'a'), ('transforms', 'a,a'), ('transforms', 'a, b ,'), ('predicates', 'p'),
            ('predicates', 'p,p'), ('producer.override.linger.ms', '5'), ('producer.override.acks', 'all'), ('producer.override.no.such', '5'),
            ('producer.override.sasl.jaas.config', 's3cret'), ('admin.override.request.timeout.ms', '7'), ('consumer.override.max.poll.records', '7'),
            ('connector.class', 'FileStreamSource'), ('connector.class', 'FileStreamSourceConnector'), ('x.n', None), ('tasks.max', None), ('topic', None), ('x.unknown', '1')):
        validate(source({key: value}))
    for key, value in (('schemas.enable', 'bad'), ('schemas.cache.size', 'x'), ('decimal.format', 'numeric'), ('replace.null.with.default', 'x')):
        validate(source({'value.converter': JSONC, 'value.converter.' + key: value}))
    for name in ('Boolean', 'ByteArray', 'Double', 'Float', 'Integer', 'Long', 'Short'):
        validate(source({'key.converter': 'org.apache.kafka.connect.converters.%sConverter' % name}))
    validate(source({'key.converter': 'org.apache.kafka.connect.storage.StringConverter', 'key.converter.converter.encoding': 'UTF-8'}))
    for c in (smt('no.Such'), smt('HoistField'), smt('T.HoistField$Value'), smt('java.lang.String'), smt('HoistField$Value'), smt('HoistField$Value', field='f'),
              smt('HoistField$Key', field='f', negate='true'), smt('HoistField$Value', field='f', predicate='p'), smt('HoistField$Value', field='f', predicate='p', negate='maybe'),
              smt('HoistField$Value', field='f', plugin__version='9.9.9'), smt('Cast$Value', spec='a:int8'), smt('Cast$Value', spec='a:int99'), smt('Cast$Key', spec=''),
              smt('DropHeaders', headers='a, b'), smt('ExtractField$Value', field='a', field__syntax__version='V3'), smt('Filter'), smt('Flatten$Key'),
              smt('HeaderFrom$Value', fields='a', headers='b', operation='x'), smt('HeaderFrom$Key', fields='a', headers='b', operation='copy'), smt('InsertField$Value', static__field='a', static__value='b'),
              smt('InsertHeader', header='h', value__literal='1'), smt('MaskField$Value', fields='a'), smt('RegexRouter', regex='a', replacement='b'), smt('ReplaceField$Value', renames='a'),
              smt('ReplaceField$Key', renames='a:b'), smt('SetSchemaMetadata$Key', schema__version='x'), smt('SetSchemaMetadata$Value', schema__name='n'),
              smt('TimestampConverter$Value', target__type='x'), smt('TimestampConverter$Key', target__type='unix', unix__precision='weeks'), smt('TimestampRouter'), smt('ValueToKey', fields='a'),
              predicate('no.Such'), predicate('TopicNameMatches', pattern='a.*'), predicate('HasHeaderKey'), predicate('HasHeaderKey', name='h'), predicate('RecordIsTombstone'),
              predicate('java.lang.String'), {**smt('Filter', predicate='p'), **predicate('RecordIsTombstone')}):
        validate(source(c))
    for c in ({'topics': ''}, {'topics': 'a,,b'}, {'topics': 'a, a'}, {'topics.regex': 'a.*'}, {'errors.deadletterqueue.topic.name': 't'}, {'errors.deadletterqueue.topic.name': 'd'},
              {'errors.deadletterqueue.topic.replication.factor': 'x'}, {'errors.deadletterqueue.context.headers.enable': 'x'}, {'consumer.override.max.poll.records': '7'},
              {'consumer.override.group.id': 'kafka-connect-group'}, {'consumer.override.group.id': 'other'}, {'producer.override.linger.ms': '3'}, {'tasks.max': '2', 'topics': 'a , b'}):
        validate(sink(c), 'FileStreamSink')
    no_topics = sink()
    del no_topics['topics']
    for c in ({}, {'topics.regex': '['}, {'topics.regex': 'd.*', 'errors.deadletterqueue.topic.name': 'dlq'}, {'topics.regex': ''}):
        validate({**no_topics, **c}, 'FileStreamSink')
    validate({'connector.class': SRC})
    validate({'name': 'x'})
    validate({'connector.class': SRC}, 'FileStreamSink')
    for plugin in ('Source', 'Sink', 'x', SRC, 'FileStreamSourceConnector', 'kafka.connect.file.FileStreamSource'):
        validate(source(), plugin)
    validate(source({'connector.class': 'FileStreamSource'}), SRC)

    families = ('Cast', 'ExtractField', 'Flatten', 'HeaderFrom', 'HoistField', 'InsertField', 'MaskField', 'ReplaceField', 'SetSchemaMetadata', 'TimestampConverter')
    classes = [T + f + s for f in families for s in ('$Key', '$Value')]
    classes += [T + n for n in ('DropHeaders', 'Filter', 'InsertHeader', 'RegexRouter', 'TimestampRouter', 'ValueToKey')]
    classes += [P + n for n in ('HasHeaderKey', 'RecordIsTombstone', 'TopicNameMatches')]
    classes += ['org.apache.kafka.connect.converters.%sConverter' % n for n in ('Boolean', 'ByteArray', 'Double', 'Float', 'Integer', 'Long', 'Short')]
    classes += [JSONC, 'org.apache.kafka.connect.storage.StringConverter', 'org.apache.kafka.connect.storage.SimpleHeaderConverter', SRC, SNK]
    for c in classes + ['FileStreamSource', 'FileStreamSinkConnector', 'Json', 'JsonConverter', 'DropHeaders', 'TopicNameMatches', 'SimpleHeaderConverter', 'Cast$Value', 'Cast', 'nope']:
        ask('GET', '/connector-plugins/%s/config' % urllib.parse.quote(c))
    for q in ('version=4.3.1', 'version=9.9.9', 'version=latest', 'version=%5B4.0,)', 'version=%5Bbad', 'x=1'):
        ask('GET', '/connector-plugins/FileStreamSource/config?' + q)
    for q in ('', '?connectorsOnly=true', '?connectorsOnly=false', '?connectorsOnly=', '?connectorsOnly=FALSE', '?connectorsOnly=x'):
        ask('GET', '/connector-plugins' + q)
    ask('GET', '/connector-plugins/')

    for p in ('/Connectors', '/health', '/health/', '/nope', '/connectors/nope',
              '/connectors/nope/', '/connectors/nope/config', '/connectors/nope/status/', '/connectors/nope/tasks', '/connectors/nope/tasks/x/status',
              '/connectors/nope/tasks/99999999999/status', '/connectors/nope/tasks/-1/status', '/connectors/nope/tasks/0/status', '/connectors/nope/tasks/0', '/connectors/nope/topics/',
              '/connectors/nope/offsets', '/connectors/nope/tasks-config', '/connectors/nope/fence', '/connectors/a%20b', '/connectors/a+b', '/connectors/%C3%A9', '/connectors//status',
              '/connectors/a%2Fb', '/connectors/%zz', '/connectors/%C3%28', '/connectors/a%01b', '/admin', '/admin/', '/admin/loggers/no.such', '/admin/loggers/ROOT/', '/connector-plugins/FileStreamSource'):
        ask('GET', p)
    paths = ('/', '/connectors', '/connectors/nope', '/connectors/nope/config', '/connectors/nope/status', '/connectors/nope/tasks', '/connectors/nope/tasks/0/status',
             '/connectors/nope/tasks/0/restart', '/connectors/nope/restart', '/connectors/nope/pause', '/connectors/nope/resume', '/connectors/nope/stop', '/connectors/nope/offsets',
             '/connectors/nope/topics', '/connectors/nope/topics/reset', '/connectors/nope/fence', '/connector-plugins', '/connector-plugins/x/config',
             '/connector-plugins/x/config/validate', '/admin/loggers', '/admin/loggers/x', '/health')
    for p in paths:
        for m in ('OPTIONS', 'HEAD', 'TRACE', 'PUT', 'POST', 'PATCH', 'DELETE'):
            ask(m, p)
    for h in ({'Accept': 'text/html'}, {'Accept': 'text/*, application/json;q=0.1'}, {'Accept': 'garbage'}, {'Accept': 'application/vnd.kafka.json'},
              {'Content-Type': 'text/plain'}, {'Content-Type': 'application/json;charset=utf-8'}, {'Content-Type': 'application/vnd.api+json'}):
        for p in ('/connectors/nope', '/health', '/admin/loggers/no.such', '/nope'):
            ask('GET', p, headers=h)
    bodies = ('{bad', '', 'null', '[]', '"x"', '1', '{} x', '{"a":{}}', '{"a":1}', '{"name":"x","config":null}', '{}', '{"offsets":[]}', '{"offsets":null}', '{"offsets":[{}]}',
              '{"level":"nope"}', '{"level":null}')
    for m, p in (('POST', '/connectors'), ('PUT', '/connectors/nope/config'), ('PATCH', '/connectors/nope/config'), ('PATCH', '/connectors/nope/offsets'),
                 ('PUT', '/connector-plugins/FileStreamSource/config/validate'), ('PUT', '/admin/loggers/no.such')):
        for raw in bodies:
            ask(m, p, raw=raw)
        for h in ({}, {'Content-Type': 'text/plain'}, {'Content-Type': 'application/merge-patch+json'}):
            ask(m, p, raw='{}', headers=h)
    for b in ({'name': 'q', 'config': source()}, {'name': 'q', 'config': source({'name': 'q'}), 'initial_state': 'BOGUS'}, {'name': ' ', 'config': {}}, {'name': 'q', 'config': {'connector.class': SRC}},
              {'name': 'a\u0001b', 'config': source({'name': 'a\u0001b'})}, {'name': 'q', 'config': source({'name': 'q', 'tasks.max': 'x', 'errors.tolerance': 'u'})}, {'name': 'q', 'config': {}},
              {'name': 'q', 'config': {'topic': 's3cret'}}, {'name': 'q', 'config': source({'name': 'q', 'x': {'a': 1}})}, {'name': 'q', 'config': source({'name': 'q', 'x': None})}):
        ask('POST', '/connectors', b)


def call(url, r):
    u = urllib.parse.urlsplit(url)
    c = http.client.HTTPConnection(u.hostname, u.port, timeout=30)
    try:
        body = r['body'].encode() if r['body'] is not None else None
        c.putrequest(r['method'], r['path'], skip_accept_encoding=True)
        for k, v in r['headers'].items():
            c.putheader(k, v)
        c.putheader('Content-Length', str(len(body or b'')))
        c.endheaders(body)
        a = c.getresponse()
        text = a.read().decode('utf-8', 'replace')
        try:
            parsed = json.loads(text)
        except ValueError:
            # A page of Jetty's own is its status; a plain text is itself.
            parsed = None if text.startswith('<') or not text else sorted(text.split(', '))
        return {'status': a.status, 'body': normal(parsed)}
    finally:
        c.close()


def normal(x):
    """Without what is ours to choose: prose, order of keys, connectors beyond Apache's, sources' dead letter queue."""
    if isinstance(x, list):
        if x and all(isinstance(i, dict) and 'class' in i for i in x):
            x = [i for i in x if i['class'].startswith('org.apache.')]
        if x and all(isinstance(i, dict) and 'order_in_group' in i for i in x):
            x = without_queue([i['name'] for i in x], x, lambda i: i['name'])
        return [normal(i) for i in x]
    if isinstance(x, dict):
        x = {k: normal(v) for k, v in x.items() if k != 'documentation'}
        if isinstance(x.get('recommended_values'), list):
            x['recommended_values'] = sorted(x['recommended_values'])
        if isinstance(x.get('configs'), list):
            names = [c['value']['name'] for c in x['configs']]
            kept = without_queue(names, x['configs'], lambda c: c['value']['name'])
            x['configs'] = sorted((slim(c) for c in kept), key=lambda c: (c['value']['name'], c['definition'] is not None))
            x['groups'] = sorted(x['groups'])
    return x


# Parts of the names whose definitions only an answer to validate shows.
ENRICHED = ('transforms.', 'predicates.', '.override.', '.converter.')


def slim(config):
    """Definitions that the answers to GET config have too are left out."""
    name = config['value']['name']
    if config['definition'] is not None and not any(part in name for part in ENRICHED):
        config['definition'] = True
        config['value']['recommended_values'] = len(config['value']['recommended_values'])
    return config


def without_queue(names, items, name):
    is_source = 'topic.creation.groups' in names
    return [i for i in items if not (is_source and name(i).startswith('errors.deadletterqueue.'))]


def main():
    jvm, ours = sys.argv[1:3]
    if jvm.endswith('.json'):
        with open(jvm) as f:
            known = [(e['request'], e['jvm']) for e in json.load(f)]
    else:
        requests()
        known = [(r, call(jvm, r)) for r in REQUESTS]
    recorded, differ = [], 0
    for r, answer in known:
        entry = {'request': r, 'jvm': answer}
        our = call(ours, r)
        if our != entry['jvm']:
            entry['ours'] = our
            differ += 1
        recorded.append(entry)
    print('[\n' + ',\n'.join(json.dumps(e, ensure_ascii=True, sort_keys=True) for e in recorded) + '\n]')
    print('%d requests, %d answers differ' % (len(recorded), differ), file=sys.stderr)


if __name__ == '__main__':
    main()
