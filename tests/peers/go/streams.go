package main

import (
	"bytes"
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// config is what the server says it keeps, without the levels newer servers note in the metadata.
func config(info *jetstream.StreamInfo) jetstream.StreamConfig {
	c := info.Config
	c.Metadata = withoutServerNotes(c.Metadata)
	return c
}

func withoutServerNotes(metadata map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range metadata {
		if len(key) < 6 || key[:6] != "_nats." {
			kept[key] = value
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func state(info *jetstream.StreamInfo) string {
	s := info.State
	return text(map[string]any{"msgs": s.Msgs, "bytes": s.Bytes, "first": s.FirstSeq, "last": s.LastSeq,
		"deleted": s.Deleted, "num_deleted": s.NumDeleted, "subjects": s.Subjects, "num_subjects": s.NumSubjects,
		"consumers": s.Consumers})
}

// streamsPart: the life of streams and of single messages.
func streamsPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	streamsCreate(ctx, js)
	streamsMessages(ctx, js)
	streamsPurge(ctx, js)
	streamsLimits(ctx, js)
	streamsLists(ctx, js)
}

func streamsCreate(ctx context.Context, js jetstream.JetStream) {
	plain := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.>"}}))
	say("created with defaults", config(plain.CachedInfo()), state(plain.CachedInfo()))
	full := jetstream.StreamConfig{Name: "FULL", Description: "everything", Subjects: []string{"full.*", "other"},
		MaxMsgs: 100, MaxBytes: 1 << 20, MaxAge: time.Hour, MaxMsgsPerSubject: 5, MaxMsgSize: 1000,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, Storage: jetstream.MemoryStorage, Replicas: 1,
		Duplicates: 30 * time.Second, AllowRollup: true, AllowDirect: true, DenyDelete: true, MaxConsumers: 3,
		Metadata: map[string]string{"owner": "tests"}}
	say("created with everything", config(must(js.CreateStream(ctx, full)).CachedInfo()))
	say("created again", config(must(js.CreateStream(ctx, full)).CachedInfo()).Name)
	changed := full
	changed.MaxMsgs = 10
	say("exists", failure(js.CreateStream(ctx, changed)))
	say("updated", config(must(js.UpdateStream(ctx, changed)).CachedInfo()).MaxMsgs)
	for label, edit := range inOrderOf(
		entry{"storage changed", func(c *jetstream.StreamConfig) { c.Storage = jetstream.FileStorage }},
		entry{"retention changed", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }},
		entry{"consumers changed", func(c *jetstream.StreamConfig) { c.MaxConsumers = 9 }},
		entry{"deny delete lifted", func(c *jetstream.StreamConfig) { c.DenyDelete = false }},
		entry{"no such stream", func(c *jetstream.StreamConfig) { c.Name = "NONE" }},
		entry{"duplicates above age", func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Hour }},
	) {
		other := changed
		edit(&other)
		say("update refused, "+label, failure(js.UpdateStream(ctx, other)))
	}
	for label, edit := range inOrderOf(
		entry{"overlap", func(c *jetstream.StreamConfig) { c.Subjects = []string{"plain.x"} }},
		entry{"overlap with itself", func(c *jetstream.StreamConfig) { c.Subjects = []string{"x.*", "x.y"} }},
		entry{"bad subject", func(c *jetstream.StreamConfig) { c.Subjects = []string{"x..y"} }},
		entry{"api subject", func(c *jetstream.StreamConfig) { c.Subjects = []string{"$JS.API.>"} }},
		entry{"replicas", func(c *jetstream.StreamConfig) { c.Replicas = 3 }},
		entry{"negative replicas", func(c *jetstream.StreamConfig) { c.Replicas = -1 }},
		entry{"discard per subject", func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true }},
		entry{"short duplicates", func(c *jetstream.StreamConfig) { c.Duplicates = time.Millisecond }},
	) {
		other := jetstream.StreamConfig{Name: "REFUSED"}
		edit(&other)
		say("create refused, "+label, failure(js.CreateStream(ctx, other)))
	}
	say("delete denied", must(js.Stream(ctx, "FULL")).DeleteMsg(ctx, 1))
	say("delete", js.DeleteStream(ctx, "FULL"))
	say("delete again", js.DeleteStream(ctx, "FULL"))
	say("missing", failure(js.Stream(ctx, "FULL")))
}

func streamsMessages(ctx context.Context, js jetstream.JetStream) {
	for _, mode := range []bool{false, true} {
		s := must(js.UpdateStream(ctx, jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.>"}, AllowDirect: mode}))
		must(js.Publish(ctx, "plain.a", []byte("one")))
		must(js.PublishMsg(ctx, &nats.Msg{Subject: "plain.b", Data: []byte("two"), Header: nats.Header{"Kind": {"b"}}}))
		must(js.Publish(ctx, "plain.a", []byte("three")))
		say("direct", mode)
		print := func(label string, m *jetstream.RawStreamMsg, err error) {
			if err != nil {
				say(label, err)
				return
			}
			say(label, m.Subject, m.Sequence, headers(m.Header), m.Data, time.Since(m.Time) < time.Minute)
		}
		first := s.CachedInfo().State.LastSeq + 1
		m, err := s.GetMsg(ctx, first+1)
		print("get", m, err)
		m, err = s.GetLastMsgForSubject(ctx, "plain.a")
		print("last for subject", m, err)
		m, err = s.GetLastMsgForSubject(ctx, "plain.*")
		print("last for wildcard", m, err)
		m, err = s.GetMsg(ctx, first, jetstream.WithGetMsgSubject("plain.b"))
		print("next by subject", m, err)
		m, err = s.GetMsg(ctx, 1000)
		print("get missing", m, err)
		m, err = s.GetLastMsgForSubject(ctx, "plain.none")
		print("last missing", m, err)
	}
	s := must(js.Stream(ctx, "PLAIN"))
	say("delete message", s.DeleteMsg(ctx, 2))
	say("delete message again", s.DeleteMsg(ctx, 2))
	say("erase message", s.SecureDeleteMsg(ctx, 3))
	say("get deleted", failure(s.GetMsg(ctx, 2)))
	say("details", state(must(s.Info(ctx, jetstream.WithDeletedDetails(true), jetstream.WithSubjectFilter("plain.a")))))
	say("all subjects", state(must(s.Info(ctx, jetstream.WithSubjectFilter(">")))))
}

func streamsPurge(ctx context.Context, js jetstream.JetStream) {
	s := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "PURGE", Subjects: []string{"purge.*"}}))
	for i := range 30 {
		must(js.Publish(ctx, []string{"purge.a", "purge.b", "purge.c"}[i%3], bytes.Repeat([]byte("x"), i)))
	}
	for label, options := range inOrderOf(
		entryOf{"keep by subject", []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject("purge.a"), jetstream.WithPurgeKeep(3)}},
		entryOf{"up to sequence by subject", []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject("purge.b"), jetstream.WithPurgeSequence(15)}},
		entryOf{"up to sequence", []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(10)}},
		entryOf{"subject", []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject("purge.c")}},
		entryOf{"keep", []jetstream.StreamPurgeOpt{jetstream.WithPurgeKeep(2)}},
		entryOf{"everything", nil},
		entryOf{"nothing left", nil},
	) {
		say("purge "+label, s.Purge(ctx, options...), state(must(s.Info(ctx, jetstream.WithSubjectFilter(">")))))
	}
	say("next after purge", must(js.Publish(ctx, "purge.a", nil)).Sequence)
}

func streamsLimits(ctx context.Context, js jetstream.JetStream) {
	s := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "LIMITS", Subjects: []string{"limits.*"}, MaxMsgs: 6,
		MaxMsgsPerSubject: 2, MaxMsgSize: 20}))
	for _, subject := range []string{"a", "a", "a", "b", "b", "b", "c", "c", "d", "d", "d"} {
		must(js.Publish(ctx, "limits."+subject, []byte(subject)))
	}
	say("limits", state(must(s.Info(ctx, jetstream.WithSubjectFilter(">"), jetstream.WithDeletedDetails(true)))))
	say("message too large", failure(js.Publish(ctx, "limits.a", make([]byte, 21))))
	s = must(js.UpdateStream(ctx, jetstream.StreamConfig{Name: "LIMITS", Subjects: []string{"limits.*"}, MaxMsgs: 3,
		MaxMsgsPerSubject: 2, Discard: jetstream.DiscardNew}))
	say("limit lowered", state(must(s.Info(ctx))))
	say("full", failure(js.Publish(ctx, "limits.a", nil)))
	must(js.UpdateStream(ctx, jetstream.StreamConfig{Name: "LIMITS", Subjects: []string{"limits.*"}, MaxBytes: 200,
		Discard: jetstream.DiscardNew}))
	say("full of bytes", failure(js.Publish(ctx, "limits.a", make([]byte, 300))))
	must(js.UpdateStream(ctx, jetstream.StreamConfig{Name: "LIMITS", Subjects: []string{"limits.*"}, AllowRollup: true}))
	must(js.PublishMsg(ctx, &nats.Msg{Subject: "limits.d", Header: nats.Header{"Nats-Rollup": {"sub"}}}))
	say("rolled up", state(must(s.Info(ctx, jetstream.WithSubjectFilter(">")))))
	must(js.PublishMsg(ctx, &nats.Msg{Subject: "limits.e", Header: nats.Header{"Nats-Rollup": {"all"}}}))
	say("all rolled up", state(must(s.Info(ctx, jetstream.WithSubjectFilter(">")))))
	say("bad rollup", failure(js.PublishMsg(ctx, &nats.Msg{Subject: "limits.e", Header: nats.Header{"Nats-Rollup": {"x"}}})))
	check(js.DeleteStream(ctx, "LIMITS"))
}

func streamsLists(ctx context.Context, js jetstream.JetStream) {
	names := js.StreamNames(ctx)
	say("names", sorted(names.Name()), names.Err())
	names = js.StreamNames(ctx, jetstream.WithStreamListSubject("plain.x"))
	say("names by subject", sorted(names.Name()), names.Err())
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		say("listed", config(info).Name, state(info))
	}
	say("list", list.Err())
	say("by subject", must(js.StreamNameBySubject(ctx, "purge.a")), failure(js.StreamNameBySubject(ctx, "nobody")))
	account := must(js.AccountInfo(ctx))
	say("account", account.Streams, account.Consumers, account.Limits.MaxStreams, account.Limits.MaxConsumers, account.Domain)
	say("create or update", must(js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PURGE",
		Subjects: []string{"purge.*"}, MaxMsgs: 7})).CachedInfo().Config.MaxMsgs)
	check(js.DeleteStream(ctx, "PURGE"))
	check(js.DeleteStream(ctx, "PLAIN"))
}
