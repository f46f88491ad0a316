package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// task is what Choria's Asynchronous Jobs keep of one, as far as servers matter: they see bytes.
type task struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Queue   string `json:"queue"`
	State   string `json:"state"`
	Tries   int    `json:"tries"`
	Payload []byte `json:"payload"`
	LastErr string `json:"last_err,omitempty"`
}

// jobs makes the calls of Choria's Asynchronous Jobs: a store of tasks, work queues of their ids, a bucket of schedules.
// The library itself is not in the registries; its calls are in its source and in the recorded trace.
type jobs struct {
	ctx context.Context
	nc  *nats.Conn // with requests of the old style, as the library insists
	js  jetstream.JetStream
}

// jobsPart: enqueue, process, retry and schedule.
func jobsPart(ctx context.Context, nc *nats.Conn, _ jetstream.JetStream) {
	old := must(nats.Connect(nc.ConnectedUrl(), nats.UseOldRequestStyle()))
	defer old.Close()
	j := jobs{ctx, old, must(jetstream.New(old))}
	j.prepare()
	j.enqueue()
	j.process()
	j.retry()
	j.expire()
	j.schedule()
	j.lists()
}

func (j jobs) prepare() {
	tasks := must(j.js.CreateStream(j.ctx, jetstream.StreamConfig{Name: "CHORIA_AJ_TASKS", Description: "Choria Async Jobs Tasks",
		Subjects: []string{"CHORIA_AJ.T.*"}, MaxMsgsPerSubject: 1, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld}))
	say("tasks", config(must(tasks.Info(j.ctx))))
	for _, queue := range []string{"DEFAULT", "EMAIL"} {
		stream := must(j.js.CreateStream(j.ctx, jetstream.StreamConfig{Name: "CHORIA_AJ_Q_" + queue, Description: "Choria Async Jobs Work Queue",
			Subjects: []string{"CHORIA_AJ.Q." + queue + ".>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, MaxMsgs: 3,
			Discard: jetstream.DiscardNew}))
		say("queue", config(must(stream.Info(j.ctx))))
		consumer := must(stream.CreateOrUpdateConsumer(j.ctx, jetstream.ConsumerConfig{Durable: "WORKERS", AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: 30 * time.Second, MaxAckPending: 2, MaxDeliver: 3}))
		say("workers", must(json.Marshal(consumer.CachedInfo().Config)))
	}
	for _, bucket := range []jetstream.KeyValueConfig{{Bucket: "CHORIA_AJ_CONFIGURATION", History: 1},
		{Bucket: "CHORIA_AJ_ELECTIONS", History: 1, TTL: 10 * time.Second}} {
		must(j.js.CreateKeyValue(j.ctx, bucket))
		say("bucket", config(must(must(j.js.Stream(j.ctx, "KV_"+bucket.Bucket)).Info(j.ctx))))
	}
}

// ask gives the answer as it came, or why none did.
func (j jobs) ask(subject string, headers nats.Header, body any) string {
	data, isBytes := body.([]byte)
	if !isBytes {
		data = must(json.Marshal(body))
	}
	answer, err := j.nc.RequestMsg(&nats.Msg{Subject: subject, Header: headers, Data: data}, 10*time.Second)
	if err != nil {
		return err.Error()
	}
	return string(answer.Data)
}

// save stores a task over its last revision; 0 is for a new one.
func (j jobs) save(t task, last uint64) string {
	return j.ask("CHORIA_AJ.T."+t.ID, nats.Header{"Nats-Expected-Last-Subject-Sequence": {fmt.Sprint(last)}}, t)
}

func (j jobs) load(id string) (task, uint64) {
	answer := must(j.nc.Request("$JS.API.STREAM.MSG.GET.CHORIA_AJ_TASKS", must(json.Marshal(map[string]string{"last_by_subj": "CHORIA_AJ.T." + id})), 10*time.Second))
	var got struct {
		Error   *struct{ Code, Err_code int }
		Message struct {
			Seq  uint64
			Data []byte
		}
	}
	check(json.Unmarshal(answer.Data, &got))
	if got.Error != nil {
		say("load "+id, fmt.Sprint(got.Error.Code))
		return task{}, 0
	}
	var t task
	check(json.Unmarshal(got.Message.Data, &t))
	return t, got.Message.Seq
}

func (j jobs) item(queue, id string, once bool) string {
	headers := nats.Header{}
	if once {
		headers.Set("Nats-Msg-Id", id)
	}
	return j.ask("CHORIA_AJ.Q."+queue+"."+id, headers, map[string]any{"kind": 0, "job": id})
}

func (j jobs) enqueue() {
	for _, id := range []string{"one", "two", "three"} {
		say("new task", j.save(task{ID: id, Type: "email:new", Queue: "EMAIL", State: "new", Payload: []byte(id)}, 0))
		say("enqueued", j.item("EMAIL", id, true))
	}
	say("a task twice", j.save(task{ID: "one"}, 0))
	say("an item twice", j.item("EMAIL", "one", true))
	say("the same subject without an id", j.item("EMAIL", "three", false))
	say("a full queue", j.item("EMAIL", "four", true))
	say("a queue that is missing", j.item("MISSING", "one", true))
	j.load("none")
}

// poll asks for one item; nil with the status when there is none.
func (j jobs) poll(queue string, expires time.Duration) (*nats.Msg, string) {
	answer := must(j.nc.Request("$JS.API.CONSUMER.MSG.NEXT.CHORIA_AJ_Q_"+queue+".WORKERS",
		must(json.Marshal(map[string]any{"expires": expires, "batch": 1})), 20*time.Second))
	if status := answer.Header.Get("Status"); status != "" {
		return nil, status + " " + answer.Header.Get("Description")
	}
	return answer, ""
}

// place is the part of an ack subject that two servers agree on: stream, consumer, deliveries, sequences, pending.
func place(m *nats.Msg) string {
	words := strings.Split(m.Reply, ".")
	return strings.Join(append(append([]string{}, words[2:7]...), words[8:]...), " ")
}

// settle acknowledges by request, as the library does, and waits.
func (j jobs) settle(label string, m *nats.Msg, with string) {
	answer := must(j.nc.Request(m.Reply, []byte(with), 10*time.Second))
	say(label, with, len(answer.Data))
}

func (j jobs) process() {
	m, _ := j.poll("EMAIL", 10*time.Second)
	say("item", m.Data, m.Subject, place(m))
	t, seq := j.load("one")
	t.State, t.Tries = "active", 1
	say("active", j.save(t, seq))
	say("an older revision", j.save(t, seq))
	j.settle("in progress", m, "+WPI")
	t, seq = j.load("one")
	t.State = "complete"
	say("complete", j.save(t, seq))
	j.settle("done", m, "+ACK")
	say("queue holds", must(must(j.js.Stream(j.ctx, "CHORIA_AJ_Q_EMAIL")).Info(j.ctx)).State.Msgs)
}

func (j jobs) retry() {
	m, _ := j.poll("EMAIL", 10*time.Second)
	say("item", m.Data, place(m))
	t, seq := j.load("two")
	t.State, t.Tries, t.LastErr = "retry", 1, "smtp: try again"
	say("retry", j.save(t, seq))
	j.settle("again later", m, `-NAK {"delay": 300000000}`)
	next, _ := j.poll("EMAIL", 10*time.Second)
	say("another meanwhile", next.Data, place(next))
	nothing, status := j.poll("EMAIL", 50*time.Millisecond)
	say("nothing meanwhile", nothing == nil, status)
	again, _ := j.poll("EMAIL", 10*time.Second)
	say("it comes back", again.Data, place(again))
	nothing, status = j.poll("EMAIL", 50*time.Millisecond)
	say("as many as may run at once", nothing == nil, status)
	j.settle("the other", next, "+ACK")
	j.settle("never again", again, "+TERM")
	t, seq = j.load("two")
	t.State = "terminated"
	say("terminated", j.save(t, seq))
	say("queue holds", must(must(j.js.Stream(j.ctx, "CHORIA_AJ_Q_EMAIL")).Info(j.ctx)).State.Msgs)
}

// expire: the tries of an item are those of its consumer.
func (j jobs) expire() {
	say("new task", j.save(task{ID: "flaky", Queue: "EMAIL", State: "new"}, 0))
	say("enqueued", j.item("EMAIL", "flaky", true))
	for range 3 {
		m, _ := j.poll("EMAIL", 10*time.Second)
		say("try", m.Data, place(m))
		j.settle("failed", m, "-NAK")
	}
	nothing, status := j.poll("EMAIL", 50*time.Millisecond)
	say("no fourth", nothing == nil, status)
	info := must(must(j.js.Consumer(j.ctx, "CHORIA_AJ_Q_EMAIL", "WORKERS")).Info(j.ctx))
	say("workers", info.NumAckPending, info.NumPending, info.Delivered.Consumer)
	_, seq := j.load("flaky")
	say("deleted", j.ask("$JS.API.STREAM.MSG.DELETE.CHORIA_AJ_TASKS", nil, map[string]any{"seq": seq, "no_erase": true}))
	j.load("flaky")
}

// schedule: a scheduler that leads follows the bucket and enqueues what is due.
func (j jobs) schedule() {
	elections := must(j.js.KeyValue(j.ctx, "CHORIA_AJ_ELECTIONS"))
	term := must(elections.Create(j.ctx, "task_scheduler", []byte("scheduler one")))
	say("lead", term, failure(elections.Create(j.ctx, "task_scheduler", []byte("scheduler two"))))
	say("lead on", must(elections.Update(j.ctx, "task_scheduler", []byte("scheduler one"), term)), failure(elections.Update(j.ctx, "task_scheduler", []byte("scheduler two"), term)))
	settings := must(j.js.KeyValue(j.ctx, "CHORIA_AJ_CONFIGURATION"))
	put := func(name, when string) {
		body := must(json.Marshal(map[string]any{"name": name, "schedule": when, "queue": "DEFAULT", "task_type": "report", "deadline": int64(time.Hour), "max_tries": 10}))
		say("schedule "+name, failure(settings.Create(j.ctx, "scheduled_tasks."+name, body)))
	}
	put("daily", "@daily")
	put("daily", "@hourly")
	watch := must(settings.Watch(j.ctx, "scheduled_tasks.*"))
	defer func() { check(watch.Stop()) }()
	followed := func() {
		if e := <-watch.Updates(); e != nil {
			say("schedule seen", e.Key(), e.Operation().String(), len(e.Value()) > 0)
		} else {
			say("schedules", "all seen")
		}
	}
	followed()
	followed()
	put("hourly", "0 * * * *")
	followed()
	check(settings.Delete(j.ctx, "scheduled_tasks.daily"))
	followed()
	say("due", j.save(task{ID: "report-1", Type: "report", Queue: "DEFAULT", State: "new"}, 0), j.item("DEFAULT", "report-1", true))
	m, _ := j.poll("DEFAULT", 10*time.Second)
	say("item", m.Data, place(m))
	j.settle("done", m, "+ACK")
}

func (j jobs) lists() {
	say("queues", j.ask("$JS.API.STREAM.NAMES", nil, map[string]any{"subject": "CHORIA_AJ.Q.>"}))
	inbox := j.nc.NewInbox()
	tasks := must(j.nc.SubscribeSync(inbox))
	made := j.ask("$JS.API.CONSUMER.CREATE.CHORIA_AJ_TASKS", nil, map[string]any{"stream_name": "CHORIA_AJ_TASKS",
		"config": map[string]any{"deliver_subject": inbox, "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": int64(10 * time.Second), "max_ack_pending": 1}})
	say("lister made", strings.Contains(made, `"error"`))
	for {
		m := must(tasks.NextMsg(10 * time.Second))
		var t task
		check(json.Unmarshal(m.Data, &t))
		say("task", t.ID, t.State, t.Tries, t.LastErr, string(t.Payload))
		check(m.Respond(nil))
		if strings.HasSuffix(m.Reply, ".0") {
			break
		}
	}
	say("stored tasks", must(must(j.js.Stream(j.ctx, "CHORIA_AJ_TASKS")).Info(j.ctx)).State.Msgs)
}
