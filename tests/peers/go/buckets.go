package main

import (
	"bytes"
	"context"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func value(e jetstream.KeyValueEntry) string {
	if e == nil {
		return "(end of the present)"
	}
	return strings.Join([]string{e.Bucket(), e.Key(), string(e.Value()), text(e.Revision()), text(e.Delta()),
		e.Operation().String()}, " ")
}

func valueOr(e jetstream.KeyValueEntry, err error) string {
	if err != nil {
		return err.Error()
	}
	return value(e)
}

// keyValuePart: key-value buckets.
func keyValuePart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	kv := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "BOX", History: 3, Description: "a box", TTL: time.Hour,
		MaxValueSize: 100, MaxBytes: 1 << 20, Metadata: map[string]string{"k": "v"}}))
	say("stream behind it", config(must(must(js.Stream(ctx, "KV_BOX")).Info(ctx))))
	say("bucket exists", failure(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "BOX", History: 4})))
	say("put", must(kv.Put(ctx, "a", []byte("1"))), must(kv.PutString(ctx, "a", "2")), must(kv.PutString(ctx, "b.c", "3")))
	say("get", valueOr(kv.Get(ctx, "a")), valueOr(kv.Get(ctx, "b.c")))
	say("get missing", valueOr(kv.Get(ctx, "none")))
	say("get revision", valueOr(kv.GetRevision(ctx, "a", 1)), valueOr(kv.GetRevision(ctx, "b.c", 1)))
	say("create", must(kv.Create(ctx, "new", []byte("n"))), failure(kv.Create(ctx, "new", nil)))
	say("update", must(kv.Update(ctx, "new", []byte("u"), 4)), failure(kv.Update(ctx, "new", nil, 4)))
	say("too large", failure(kv.Put(ctx, "a", make([]byte, 101))))
	say("bad key", failure(kv.Put(ctx, "a b", nil)))
	say("delete", kv.Delete(ctx, "a"), valueOr(kv.Get(ctx, "a")))
	say("delete at a wrong revision", kv.Delete(ctx, "new", jetstream.LastRevision(1)))
	say("create over a delete", must(kv.Create(ctx, "a", []byte("again"))))
	for _, e := range must(kv.History(ctx, "a")) {
		say("history", value(e))
	}
	say("purge", kv.Purge(ctx, "a"), valueOr(kv.Get(ctx, "a")))
	for _, e := range must(kv.History(ctx, "a")) {
		say("history after purge", value(e))
	}
	keys := must(kv.Keys(ctx))
	sort.Strings(keys)
	say("keys", keys)
	lister := must(kv.ListKeysFiltered(ctx, "b.>"))
	say("keys by filter", sorted(lister.Keys()))
	keyValueWatch(ctx, kv)
	say("purge deletes", kv.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1)))
	status := must(kv.Status(ctx))
	say("status", status.Bucket(), status.Values(), status.History(), status.TTL(), status.BackingStore(), status.Bytes(), status.IsCompressed())
	must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "EMPTY", Storage: jetstream.MemoryStorage}))
	say("no keys", failure(must(js.KeyValue(ctx, "EMPTY")).Keys(ctx)))
	names := js.KeyValueStoreNames(ctx)
	say("buckets", sorted(names.Name()), names.Error())
	stores := js.KeyValueStores(ctx)
	for s := range stores.Status() {
		say("bucket", s.Bucket(), s.Values(), s.History())
	}
	updated := must(js.UpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "BOX", History: 2, TTL: time.Hour}))
	say("updated", must(updated.Status(ctx)).History(), must(updated.Status(ctx)).Values())
	say("delete bucket", js.DeleteKeyValue(ctx, "BOX"), js.DeleteKeyValue(ctx, "EMPTY"), js.DeleteKeyValue(ctx, "BOX"))
	say("missing bucket", failure(js.KeyValue(ctx, "BOX")))
}

func keyValueWatch(ctx context.Context, kv jetstream.KeyValue) {
	read := func(label string, count int, w jetstream.KeyWatcher) {
		for range count {
			select {
			case e := <-w.Updates():
				say(label, value(e))
			case <-time.After(20 * time.Second):
				say(label, "nothing came")
			}
		}
	}
	watch := func(label string, count int, w jetstream.KeyWatcher, err error) {
		check(err)
		read(label, count, w)
		check(w.Stop())
	}
	// What is there is read before anything is put: a put in between would count as part of the present.
	w, err := kv.WatchAll(ctx)
	check(err)
	read("watch all", 4, w)
	// One by one, since an entry says how many come behind it.
	must(kv.PutString(ctx, "live", "x"))
	read("watch all", 1, w)
	check(kv.Delete(ctx, "live"))
	watch("watch all", 1, w, nil)
	w, err = kv.Watch(ctx, "new", jetstream.IncludeHistory())
	watch("watch history", 3, w, err)
	w, err = kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	watch("watch without deletes", 3, w, err)
	w, err = kv.WatchAll(ctx, jetstream.MetaOnly())
	watch("watch without values", 2, w, err)
	w, err = kv.WatchFiltered(ctx, []string{"b.*", "new"})
	watch("watch two filters", 3, w, err)
	w, err = kv.WatchAll(ctx, jetstream.ResumeFromRevision(8))
	watch("watch from a revision", 3, w, err)
	w, err = kv.WatchAll(ctx, jetstream.UpdatesOnly())
	must(kv.PutString(ctx, "only", "y"))
	watch("watch updates only", 1, w, err)
}

func object(info *jetstream.ObjectInfo) string {
	return text(map[string]any{"bucket": info.Bucket, "size": info.Size, "chunks": info.Chunks, "digest": info.Digest,
		"deleted": info.Deleted, "meta": info.ObjectMeta, "recent": time.Since(info.ModTime) < time.Minute})
}

// objectsPart: object store.
func objectsPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	store := must(js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "THINGS", Description: "things"}))
	say("stream behind it", config(must(must(js.Stream(ctx, "OBJ_THINGS")).Info(ctx))))
	body := make([]byte, 300<<10)
	for i := range body {
		body[i] = byte(i * 7 / 3)
	}
	say("put", object(must(store.Put(ctx, jetstream.ObjectMeta{Name: "big one", Description: "300 KiB",
		Headers: nats.Header{"Kind": {"noise"}}}, bytes.NewReader(body)))))
	say("put small", object(must(store.PutString(ctx, "small", "hello"))))
	say("put empty", object(must(store.PutBytes(ctx, "empty", nil))))
	say("get", bytes.Equal(must(store.GetBytes(ctx, "big one")), body), must(store.GetString(ctx, "small")))
	say("get info", object(must(store.GetInfo(ctx, "big one"))))
	say("get missing", failure(store.GetBytes(ctx, "none")))
	say("put over it", object(must(store.PutString(ctx, "big one", "now small"))), must(store.GetString(ctx, "big one")))
	say("rename", store.UpdateMeta(ctx, "small", jetstream.ObjectMeta{Name: "renamed", Description: "new"}), object(must(store.GetInfo(ctx, "renamed"))))
	link := must(store.AddLink(ctx, "shortcut", must(store.GetInfo(ctx, "renamed"))))
	say("link", link.Opts.Link.Name, must(store.GetString(ctx, "shortcut")))
	objectNames := func(options ...jetstream.ListObjectsOpt) []string {
		names := []string{}
		for _, info := range must(store.List(ctx, options...)) {
			names = append(names, info.Name)
		}
		sort.Strings(names)
		return names
	}
	say("list", objectNames())
	say("delete", store.Delete(ctx, "big one"), failure(store.GetBytes(ctx, "big one")), objectNames(), objectNames(jetstream.ListObjectsShowDeleted()))
	w := must(store.Watch(ctx))
	for info := range w.Updates() {
		if info == nil {
			break
		}
		say("watch", info.Name, info.Deleted)
	}
	check(w.Stop())
	status := must(store.Status(ctx))
	say("status", status.Bucket(), status.Description(), status.Size(), status.Sealed(), status.BackingStore())
	say("seal", store.Seal(ctx), failure(store.PutString(ctx, "late", "x")), must(store.Status(ctx)).Sealed())
	names := js.ObjectStoreNames(ctx)
	say("stores", sorted(names.Name()), names.Error())
	say("delete store", js.DeleteObjectStore(ctx, "THINGS"), failure(js.ObjectStore(ctx, "THINGS")))
}
