// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package storage

import "strings"

// Names of what is stored. They are in the folders and clusters of every installation, so
// they cannot change.
const (
	// EventsStream is the stream of events.
	EventsStream = "gatecast_events"
	// EventsPrefix is what the subjects in it begin with.
	EventsPrefix = "gatecast.event."
	// BucketPrefix is what the name of a bucket's stream begins with.
	BucketPrefix = "KV_"

	journalPrefix = "gatecast_"
)

// JournalStream returns the name of the stream that keeps a journal.
func JournalStream(name string) string { return journalPrefix + name }

// JournalSubjects returns what the subjects of a journal's records begin with.
func JournalSubjects(name string) string { return "gatecast." + name + "." }

// BucketSubjects returns what the subjects of a bucket's keys begin with.
func BucketSubjects(name string) string { return "$KV." + name + "." }

// Subjects returns the subjects that a stream takes.
func Subjects(stream string) []string {
	if bucket, ok := strings.CutPrefix(stream, BucketPrefix); ok {
		return []string{BucketSubjects(bucket) + ">"}
	}
	if stream == EventsStream {
		return []string{EventsPrefix + ">"}
	}
	return []string{JournalSubjects(strings.TrimPrefix(stream, journalPrefix)) + "*"}
}
