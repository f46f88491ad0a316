package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// login is one line of the cases that every client reads: a label and words of "key=value".
type login struct {
	label string
	words map[string]string
}

func readLogins(path string) []login {
	file := must(os.Open(path))
	defer file.Close()
	cases := []login{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		one := login{label: fields[0], words: map[string]string{}}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			one.words[key] = value
		}
		cases = append(cases, one)
	}
	return cases
}

func (l login) options() []nats.Option {
	options := []nats.Option{nats.Timeout(20 * time.Second)}
	given := func(key string, option func(string) nats.Option) {
		if value, there := l.words[key]; there {
			options = append(options, option(value))
		}
	}
	given("user", func(user string) nats.Option { return nats.UserInfo(user, l.words["password"]) })
	given("token", nats.Token)
	given("seedfile", func(path string) nats.Option { return must(nats.NkeyOptionFromSeed(path)) })
	given("creds", func(path string) nats.Option { return nats.UserCredentials(path) })
	given("ca", func(path string) nats.Option { return nats.RootCAs(path) })
	given("cert", func(path string) nats.Option { return nats.ClientCert(path, l.words["key"]) })
	given("first", func(string) nats.Option { return nats.TLSHandshakeFirst() })
	return options
}

// whoAmI tells what the server made of the login.
func whoAmI(nc *nats.Conn) string {
	var told struct{ Data struct{ User, Account string } }
	check(json.Unmarshal(must(nc.Request("$SYS.REQ.USER.INFO", nil, 20*time.Second)).Data, &told))
	return told.Data.User + " of " + told.Data.Account
}

func logins(path string) {
	for _, one := range readLogins(path) {
		nc, err := nats.Connect(one.words["url"], append(one.options(), nats.NoReconnect())...)
		switch {
		case err == nil:
			_, tlsErr := nc.TLSConnectionState()
			say(one.label, whoAmI(nc), tlsErr == nil)
			nc.Close()
		case one.words["refused"] == "tls": // the words depend on who notices first
			say(one.label, "refused")
		default:
			say(one.label, err)
		}
	}
}

// reconnect: the test kills the server and starts it again when it reads "published while away".
func reconnect(path string) {
	one := readLogins(path)[0]
	gone, back := make(chan struct{}, 10), make(chan struct{}, 10)
	nc := must(nats.Connect(one.words["url"], append(one.options(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))...))
	defer nc.Close()
	plain, crew := must(nc.SubscribeSync("still.*")), must(nc.QueueSubscribeSync("work", "crew"))
	limited := must(nc.SubscribeSync("limited"))
	check(limited.AutoUnsubscribe(3))
	must(nc.Subscribe("service", func(m *nats.Msg) { check(m.Respond([]byte("re " + string(m.Data)))) }))
	check(nc.Publish("limited", []byte("1")))
	say("before", whoAmI(nc), must(nc.Request("service", []byte("ask"), 20*time.Second)).Data)
	say("limited", must(limited.NextMsg(20*time.Second)).Data)
	fmt.Println("ready")
	<-gone
	fmt.Println("disconnected")
	say("published while away", nc.Publish("still.away", []byte("kept")))
	<-back
	say("kept", must(plain.NextMsg(20*time.Second)).Data)
	check(nc.Publish("still.here", []byte("x")))
	check(nc.Publish("work", []byte("y")))
	for _, body := range []string{"2", "3", "4"} {
		check(nc.Publish("limited", []byte(body)))
	}
	say("again", must(plain.NextMsg(20*time.Second)).Data, must(crew.NextMsg(20*time.Second)).Data,
		must(nc.Request("service", []byte("again"), 20*time.Second)).Data, whoAmI(nc), nc.Statistics.Reconnects)
	say("limited", must(limited.NextMsg(20*time.Second)).Data, must(limited.NextMsg(20*time.Second)).Data,
		failure(limited.NextMsg(50*time.Millisecond)))
}
