// Runs one named part against one server with jnats and prints a line per observation.
// Two servers that answer alike give the same text: nothing that depends on time, ports or random names is printed.

import io.nats.client.*;
import io.nats.client.api.*;
import io.nats.client.impl.Headers;
import io.nats.client.impl.NatsMessage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;

public class Clients {
  interface Part {
    void run(Connection nc) throws Exception;
  }

  interface Call {
    Object run() throws Exception;
  }

  static final Duration WAIT = Duration.ofSeconds(5);

  static void say(String label, Object... values) {
    System.out.println(label + ": " + Arrays.stream(values).map(String::valueOf).collect(Collectors.joining(" | ")));
  }

  static byte[] bytes(Object text) {
    return String.valueOf(text).getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return body == null ? "nothing" : new String(body, StandardCharsets.UTF_8);
  }

  static String failure(Call call) {
    try {
      return "no error: " + call.run();
    } catch (JetStreamApiException e) {
      return e.getErrorCode() + " " + e.getApiErrorCode() + " " + e.getErrorDescription();
    } catch (Exception e) {
      return e.getClass().getSimpleName() + " " + e.getMessage();
    }
  }

  static String show(Message m) {
    if (m == null) return "nothing";
    return m.getSubject() + " " + text(m.getData()) + " " + m.metaData().streamSequence() + " " + m.metaData().consumerSequence() + " "
        + m.metaData().deliveredCount() + " " + m.metaData().pendingCount();
  }

  static String standing(ConsumerInfo info) {
    return info.getDelivered().getStreamSequence() + " " + info.getDelivered().getConsumerSequence() + " " + info.getAckFloor().getStreamSequence()
        + " " + info.getNumAckPending() + " " + info.getNumPending() + " " + info.getRedelivered();
  }

  static String state(StreamInfo info) {
    StreamState s = info.getStreamState();
    return s.getMsgCount() + " " + s.getByteCount() + " " + s.getFirstSequence() + " " + s.getLastSequence() + " " + s.getDeletedCount() + " "
        + s.getSubjectCount() + " " + s.getConsumerCount() + " " + new TreeMap<>(s.getSubjectMap());
  }

  /** What the server says that it keeps, without the levels that it notes in the metadata. */
  static String config(StreamConfiguration c) {
    return c.toJson().replaceAll("\"_nats[^\"]*\":\"[^\"]*\",?", "");
  }

  static String config(ConsumerConfiguration c) {
    return c.toJson().replaceAll("\"_nats[^\"]*\":\"[^\"]*\",?", "");
  }

  static void core(Connection nc) throws Exception {
    say("server", nc.getServerInfo().isHeadersSupported(), nc.getServerInfo().getMaxPayload(), nc.getServerInfo().isJetStreamAvailable());
    Subscription sub = nc.subscribe("a.>");
    Headers headers = new Headers().add("One", "1", "2");
    nc.publish(NatsMessage.builder().subject("a.b").replyTo("back").headers(headers).data("first").build());
    nc.publish("b.b", bytes("not heard"));
    nc.publish("a.c.d", bytes("second"));
    for (int i = 0; i < 2; i++) {
      Message m = sub.nextMessage(WAIT);
      say("message", m.getSubject(), m.getReplyTo(), text(m.getData()), m.hasHeaders() ? m.getHeaders().get("One") : "none");
    }
    sub.unsubscribe();
    AtomicInteger[] counts = {new AtomicInteger(), new AtomicInteger()};
    CountDownLatch all = new CountDownLatch(100);
    for (AtomicInteger count : counts)
      nc.createDispatcher(m -> { count.incrementAndGet(); all.countDown(); }).subscribe("work", "crew");
    nc.flush(WAIT);
    for (int i = 0; i < 100; i++) nc.publish("work", null);
    say("queue", all.await(5, TimeUnit.SECONDS), counts[0].get() > 0 && counts[1].get() > 0);
    nc.createDispatcher(m -> nc.publish(m.getReplyTo(), bytes("re " + text(m.getData())))).subscribe("service");
    nc.flush(WAIT);
    say("request", text(nc.request("service", bytes("ask"), WAIT).getData()));
    say("no responders", failure(() -> nc.request("nobody", null).get(5, TimeUnit.SECONDS)));
    Connection other = Nats.connect(nc.getConnectedUrl());
    Set<String> heard = new ConcurrentSkipListSet<>();
    other.createDispatcher(m -> heard.add(m.getSubject())).subscribe("drain.*");
    other.flush(WAIT);
    for (int i = 0; i < 10; i++) nc.publish("drain." + i, null);
    nc.flush(WAIT);
    say("drain", other.drain(WAIT).get(), heard);
    say("too large", failure(() -> {
      nc.publish("large", new byte[(int) nc.getServerInfo().getMaxPayload() + 1]);
      return "sent";
    }));
  }

  static void streams(Connection nc) throws Exception {
    JetStreamManagement jsm = nc.jetStreamManagement();
    JetStream js = nc.jetStream();
    StreamInfo made = jsm.addStream(StreamConfiguration.builder().name("S").subjects("s.*").storageType(StorageType.File).build());
    say("created", config(made.getConfiguration()), state(made));
    say("overlap", failure(() -> jsm.addStream(StreamConfiguration.builder().name("T").subjects("s.x").build())));
    say("missing", failure(() -> jsm.getStreamInfo("NONE")));
    for (String id : List.of("x", "x", "y")) {
      PublishAck ack = js.publish("s.a", bytes(id), PublishOptions.builder().messageId(id).build());
      say("ack", ack.getStream(), ack.getSeqno(), ack.isDuplicate());
    }
    say("wrong sequence", failure(() -> js.publish("s.a", null, PublishOptions.builder().expectedLastSequence(9).build())));
    say("wrong subject sequence", failure(() -> js.publish("s.b", null, PublishOptions.builder().expectedLastSubjectSequence(9).build())));
    say("subject given", js.publish("s.b", null,
        PublishOptions.builder().expectedLastSubjectSequence(2).expectedLastSubjectSequenceSubject("s.a").build()).getSeqno());
    say("wrong stream", failure(() -> js.publish("s.a", null, PublishOptions.builder().expectedStream("NONE").build())));
    say("wrong id", failure(() -> js.publish("s.a", null, PublishOptions.builder().expectedLastMsgId("q").build())));
    say("no stream", failure(() -> js.publish("nobody", null)));
    List<CompletableFuture<PublishAck>> acks = new ArrayList<>();
    for (int i = 0; i < 1000; i++) acks.add(js.publishAsync("s." + i % 4, bytes(i)));
    boolean inOrder = true;
    for (int i = 0; i < 1000; i++) inOrder &= acks.get(i).get(5, TimeUnit.SECONDS).getSeqno() == i + 4;
    say("concurrent", inOrder);
    MessageInfo got = jsm.getMessage("S", 2);
    say("get", got.getSubject(), got.getSeq(), text(got.getData()), got.getHeaders().get("Nats-Msg-Id"));
    say("last", text(jsm.getLastMessage("S", "s.3").getData()));
    say("first", text(jsm.getFirstMessage("S", "s.3").getData()), text(jsm.getNextMessage("S", 900, "s.1").getData()));
    say("get missing", failure(() -> jsm.getMessage("S", 5000)));
    say("delete", jsm.deleteMessage("S", 5), failure(() -> jsm.deleteMessage("S", 5)));
    say("purge subject", jsm.purgeStream("S", PurgeOptions.builder().subject("s.1").keep(2).build()).getPurged());
    say("purge", jsm.purgeStream("S", PurgeOptions.builder().sequence(900).build()).getPurged());
    say("state", state(jsm.getStreamInfo("S", StreamInfoOptions.builder().allSubjects().deletedDetails().build())));
    say("update", config(jsm.updateStream(StreamConfiguration.builder(jsm.getStreamInfo("S").getConfiguration()).maxMessages(10)
        .description("less").allowDirect(true).build()).getConfiguration()));
    say("direct", text(jsm.getLastMessage("S", "s.2").getData()), failure(() -> jsm.getMessage("S", 1)));
    say("names", jsm.getStreamNames(), jsm.getStreamNames("s.x"), jsm.getStreamNames("none.*"));
    AccountStatistics account = jsm.getAccountStatistics();
    say("account", account.getStreams(), account.getConsumers());
    say("remove", jsm.deleteStream("S"), failure(() -> jsm.deleteStream("S")));
    made = jsm.addStream(StreamConfiguration.builder().name("NEWER").subjects("n.>", "clock.>").allowMessageTtl().allowMessageSchedules()
        .subjectDeleteMarkerTtl(Duration.ofMinutes(1)).allowAtomicPublish().compressionOption(CompressionOption.S2).firstSequence(100).build());
    say("newer", config(made.getConfiguration()), js.publish("n.a", null, PublishOptions.builder().messageTtlSeconds(60).build()).getSeqno());
    say("counter", config(jsm.addStream(StreamConfiguration.builder().name("COUNTS").subjects("counts").allowMessageCounter().build()).getConfiguration()));
    PublishAck added = null;
    for (String by : List.of("+5", "-12")) added = js.publish("counts", new Headers().add("Nats-Incr", by), null);
    say("counted", added.getVal());
    say("sealed", config(jsm.updateStream(StreamConfiguration.builder(made.getConfiguration()).seal().build()).getConfiguration()),
        failure(() -> js.publish("n.b", null)));
  }

  static void consumers(Connection nc) throws Exception {
    JetStreamManagement jsm = nc.jetStreamManagement();
    JetStream js = nc.jetStream();
    jsm.addStream(StreamConfiguration.builder().name("C").subjects("c.*").build());
    for (int i = 0; i < 20; i++) js.publish(i % 2 == 0 ? "c.even" : "c.odd", bytes(i));
    StreamContext stream = js.getStreamContext("C");
    ConsumerContext durable = stream.createOrUpdateConsumer(ConsumerConfiguration.builder().durable("d").ackPolicy(AckPolicy.Explicit)
        .maxAckPending(5).build());
    say("created", config(durable.getConsumerInfo().getConsumerConfiguration()), durable.getConsumerInfo().getNumPending());
    List<Message> batch = new ArrayList<>();
    try (FetchConsumer fetch = durable.fetchMessages(5)) {
      for (Message m = fetch.nextMessage(); m != null && batch.size() < 5; m = batch.size() < 5 ? fetch.nextMessage() : null) batch.add(m);
    }
    for (Message m : batch) say("fetched", show(m));
    batch.get(2).nak();
    Message again = durable.next(WAIT);
    say("nak comes back", show(again));
    again.ackSync(WAIT);
    batch.get(0).ack();
    batch.get(1).term();
    batch.get(3).inProgress();
    batch.get(3).ackSync(WAIT);
    batch.get(4).ackSync(WAIT);
    say("standing", standing(durable.getConsumerInfo()));
    StringBuilder read = new StringBuilder();
    CountDownLatch fifteen = new CountDownLatch(15);
    try (MessageConsumer consume = durable.consume(ConsumeOptions.builder().batchSize(4).build(), m -> {
           read.append(text(m.getData())).append(' ');
           m.ack();
           fifteen.countDown();
         })) {
      say("consume", fifteen.await(5, TimeUnit.SECONDS), read);
    }
    say("nothing left", show(durable.next(1000)));
    try (FetchConsumer none = durable.fetch(FetchConsumeOptions.builder().maxMessages(3).noWait().build())) {
      say("no wait", show(none.nextMessage()));
    }
    say("ordered", take(stream.createOrderedConsumer(new OrderedConsumerConfiguration()), 20));
    say("ordered filter", take(stream.createOrderedConsumer(new OrderedConsumerConfiguration().filterSubjects("c.odd")), 10));
    say("ordered from", take(stream.createOrderedConsumer(new OrderedConsumerConfiguration().deliverPolicy(DeliverPolicy.ByStartSequence)
        .startSequence(18)), 3));
    for (ConsumerConfiguration.Builder from : List.of(ConsumerConfiguration.builder().deliverPolicy(DeliverPolicy.Last),
             ConsumerConfiguration.builder().deliverPolicy(DeliverPolicy.ByStartSequence).startSequence(19),
             ConsumerConfiguration.builder().deliverPolicy(DeliverPolicy.LastPerSubject).filterSubject("c.>"),
             ConsumerConfiguration.builder().filterSubjects("c.odd", "c.even"), ConsumerConfiguration.builder().headersOnly(true))) {
      ConsumerContext one = stream.createOrUpdateConsumer(from.name("one").ackPolicy(AckPolicy.None).build());
      long pending = one.getConsumerInfo().getNumPending();
      say("from", config(one.getConsumerInfo().getConsumerConfiguration()), pending, take(one, (int) pending));
      stream.deleteConsumer("one");
    }
    say("refused", failure(() -> stream.createOrUpdateConsumer(ConsumerConfiguration.builder().durable("e").filterSubjects("c.*", "c.odd").build())));
    say("exists", failure(() -> jsm.createConsumer("C", ConsumerConfiguration.builder().durable("d").ackPolicy(AckPolicy.All).build())));
    say("not there", failure(() -> jsm.updateConsumer("C", ConsumerConfiguration.builder().durable("none").build())));
    say("missing", failure(() -> stream.getConsumerContext("none")));
    ConsumerConfiguration push = ConsumerConfiguration.builder().durable("push").deliverSubject("to").ackPolicy(AckPolicy.Explicit)
        .flowControl(1000).build();
    jsm.createConsumer("C", push);
    JetStreamSubscription pushed = js.subscribe(null, PushSubscribeOptions.bind("C", "push"));
    say("push", take(pushed, 20, true), standing(pushed.getConsumerInfo()));
    pushed.unsubscribe();
    JetStreamSubscription ordered = js.subscribe("c.odd", PushSubscribeOptions.builder().ordered(true).build());
    say("ordered push", take(ordered, 10, false));
    ordered.unsubscribe();
    JetStreamSubscription pull = js.subscribe("c.even", PullSubscribeOptions.builder().durable("pull").build());
    say("pull", pull.fetch(4, WAIT).stream().map(Clients::show).collect(Collectors.toList()));
    pull.unsubscribe();
    say("listed", jsm.getConsumerNames("C").stream().filter(name -> name.length() < 22).sorted().collect(Collectors.toList()));
    say("paused", jsm.pauseConsumer("C", "d", java.time.ZonedDateTime.now().plusHours(1)).isPaused(), jsm.getConsumerInfo("C", "d").getPaused(),
        jsm.resumeConsumer("C", "d"), jsm.getConsumerInfo("C", "d").getPaused());
    groups(stream);
    jsm.deleteStream("C");
    jsm.addStream(StreamConfiguration.builder().name("W").subjects("w").retentionPolicy(RetentionPolicy.WorkQueue).build());
    ConsumerContext worker = js.getStreamContext("W").createOrUpdateConsumer(ConsumerConfiguration.builder().durable("d").build());
    js.publish("w", bytes("job"));
    worker.next(WAIT).ackSync(WAIT);
    say("work queue", state(jsm.getStreamInfo("W")));
  }

  /** The overflow group is served when enough waits; the pinned one tells its client's id and lets go of it. */
  static void groups(StreamContext stream) throws Exception {
    ConsumerContext over = stream.createOrUpdateConsumer(ConsumerConfiguration.builder().durable("over").priorityGroups("jobs")
        .priorityPolicy(PriorityPolicy.Overflow).build());
    say("no group", failure(() -> over.next(1000)));
    for (int least : new int[] {100, 10}) {
      try (FetchConsumer fetch = over.fetch(FetchConsumeOptions.builder().maxMessages(2).expiresIn(1000).group("jobs").minPending(least).build())) {
        say("overflow", least, show(fetch.nextMessage()));
      }
    }
    ConsumerContext pinned = stream.createOrUpdateConsumer(ConsumerConfiguration.builder().durable("pinned").priorityGroups("jobs")
        .priorityPolicy(PriorityPolicy.PinnedClient).priorityTimeout(Duration.ofSeconds(30)).build());
    try (IterableConsumer all = pinned.iterate(ConsumeOptions.builder().batchSize(10).group("jobs").build())) {
      Message m = all.nextMessage(WAIT);
      say("pinned", show(m), m.getHeaders().getFirst("Nats-Pin-Id") != null);
    }
    say("unpin", pinned.unpin("jobs"), failure(() -> pinned.unpin("none")));
  }

  static String take(BaseConsumerContext from, int count) throws Exception {
    List<String> got = new ArrayList<>();
    try (IterableConsumer all = from.iterate()) {
      while (got.size() < count) {
        Message m = all.nextMessage(WAIT);
        if (m == null) break;
        got.add(text(m.getData()));
      }
    }
    return String.join(" ", got);
  }

  static String take(JetStreamSubscription from, int count, boolean acknowledged) throws Exception {
    List<String> got = new ArrayList<>();
    while (got.size() < count) {
      Message m = from.nextMessage(WAIT);
      if (m == null) break;
      if (acknowledged) m.ackSync(WAIT);
      got.add(text(m.getData()));
    }
    return String.join(" ", got);
  }

  static String entry(KeyValueEntry e) {
    return e == null ? "nothing" : e.getKey() + " " + e.getValueAsString() + " " + e.getRevision() + " " + e.getOperation() + " " + e.getDelta();
  }

  static class Watch implements KeyValueWatcher {
    final BlockingQueue<String> seen = new LinkedBlockingQueue<>();
    public void watch(KeyValueEntry e) {
      seen.add(entry(e));
    }
    public void endOfData() {
      seen.add("end");
    }
    List<String> next(int count) throws Exception {
      List<String> got = new ArrayList<>();
      while (got.size() < count) got.add(seen.poll(5, TimeUnit.SECONDS));
      return got;
    }
  }

  static void keyvalue(Connection nc) throws Exception {
    KeyValueManagement kvm = nc.keyValueManagement();
    kvm.create(KeyValueConfiguration.builder().name("BOX").maxHistoryPerKey(3).limitMarker(Duration.ofMinutes(1)).build());
    KeyValue kv = nc.keyValue("BOX");
    say("put", kv.put("a", "1"), kv.put("a", "2"), kv.put("b.c", "3"));
    say("get", entry(kv.get("a")), entry(kv.get("none")), entry(kv.get("a", 1)), entry(kv.get("a", 3)));
    say("create", kv.create("new", bytes("n")), failure(() -> kv.create("new", bytes("n"))));
    say("update", kv.update("new", "u", 4), failure(() -> kv.update("new", "u", 4)));
    kv.delete("a");
    say("deleted", entry(kv.get("a")), kv.create("a", bytes("again")), failure(() -> { kv.delete("a", 1); return "deleted"; }));
    say("history", kv.history("a").stream().map(Clients::entry).collect(Collectors.toList()));
    say("keys", new TreeSet<>(kv.keys()), kv.keys("b.*"), new TreeSet<>(kv.keys(List.of("a", "new"))));
    Watch watch = new Watch();
    try (AutoCloseable subscription = kv.watchAll(watch)) {
      say("watch", watch.next(4));
      kv.put("live", "x");
      kv.delete("live");
      say("watch", watch.next(2));
    }
    Watch past = new Watch();
    try (AutoCloseable subscription = kv.watch("new", past, KeyValueWatchOption.INCLUDE_HISTORY)) {
      say("watch history", past.next(3));
    }
    Watch bare = new Watch();
    try (AutoCloseable subscription = kv.watch("new", bare, KeyValueWatchOption.META_ONLY)) {
      say("watch without values", bare.next(2));
    }
    kv.purge("a");
    say("purged", kv.history("a").stream().map(Clients::entry).collect(Collectors.toList()));
    say("ttl", kv.create("short", bytes("s"), MessageTtl.seconds(60)));
    kv.purge("b.c", MessageTtl.seconds(60));
    kv.purgeDeletes(KeyValuePurgeOptions.builder().deleteMarkersNoThreshold().build());
    say("left", new TreeSet<>(kv.keys()), kv.history("live").size());
    KeyValueStatus status = kv.getStatus();
    say("status", status.getBucketName(), status.getEntryCount(), status.getMaxHistoryPerKey(), status.getTtl(), status.getByteCount(),
        config(status.getBackingStreamInfo().getConfiguration()));
    say("buckets", kvm.getBucketNames());
    kvm.delete("BOX");
    say("destroyed", failure(() -> kvm.getStatus("BOX")));
  }

  static String object(ObjectInfo o) {
    return o == null ? "nothing" : o.getObjectName() + " " + o.getSize() + " " + o.getChunks() + " " + o.getDigest() + " " + o.isDeleted();
  }

  static void objects(Connection nc) throws Exception {
    ObjectStoreManagement osm = nc.objectStoreManagement();
    osm.create(ObjectStoreConfiguration.builder("THINGS").description("things").build());
    ObjectStore store = nc.objectStore("THINGS");
    byte[] body = new byte[300 * 1024];
    for (int i = 0; i < body.length; i++) body[i] = (byte) (i * 7 / 3);
    say("put", object(store.put(ObjectMeta.builder("big one").description("300 KiB").chunkSize(10_000).build(), new ByteArrayInputStream(body))));
    say("put small", object(store.put("small", bytes("hello"))));
    ByteArrayOutputStream back = new ByteArrayOutputStream();
    say("get", object(store.get("big one", back)), Arrays.equals(back.toByteArray(), body));
    say("missing", failure(() -> store.get("none", back)), object(store.getInfo("none")));
    store.addLink("shortcut", store.getInfo("small"));
    ByteArrayOutputStream linked = new ByteArrayOutputStream();
    store.get("shortcut", linked);
    say("link", text(linked.toByteArray()), failure(() -> store.addLink("again", store.getInfo("shortcut"))));
    say("meta", object(store.updateMeta("small", ObjectMeta.builder("renamed").build())), object(store.getInfo("small")));
    say("list", store.getList().stream().map(ObjectInfo::getObjectName).sorted().collect(Collectors.toList()));
    say("delete", object(store.delete("big one")), object(store.getInfo("big one")), object(store.getInfo("big one", true)));
    say("seal", store.seal().isSealed(), failure(() -> store.put("late", bytes("x"))));
    ObjectStoreStatus status = store.getStatus();
    say("status", status.getBucketName(), status.getSize(), status.isSealed(), config(status.getBackingStreamInfo().getConfiguration()));
    say("stores", osm.getBucketNames());
    osm.delete("THINGS");
    say("destroyed", failure(() -> osm.getStatus("THINGS")));
  }

  public static void main(String[] args) throws Exception {
    Map<String, Part> parts = Map.of("core", Clients::core, "streams", Clients::streams, "consumers", Clients::consumers, "keyvalue",
        Clients::keyvalue, "objects", Clients::objects);
    if (args.length != 2 || !parts.containsKey(args[1])) {
      System.err.println("usage: Clients URL PART; parts: " + new TreeSet<>(parts.keySet()));
      System.exit(2);
    }
    Options options = new Options.Builder().server(args[0]).connectionTimeout(WAIT).errorListener(new ErrorListener() {}).build();
    try (Connection nc = Nats.connect(options)) {
      parts.get(args[1]).run(nc);
    }
    System.exit(0);
  }
}
