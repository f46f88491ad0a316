package main

import (
	"iter"

	"github.com/nats-io/nats.go/jetstream"
)

type named[T any] struct {
	label string
	value T
}

type (
	entry         = named[func(*jetstream.StreamConfig)]
	entryOf       = named[[]jetstream.StreamPurgeOpt]
	consumerEntry = named[jetstream.ConsumerConfig]
	publishEntry  = named[[]jetstream.PublishOpt]
)

// inOrderOf walks a table of cases from first to last, which a map would not.
func inOrderOf[T any](cases ...named[T]) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, c := range cases {
			if !yield(c.label, c.value) {
				return
			}
		}
	}
}
