// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

// This package reads files whose format is private to nats-server. So a person must look at the
// format of each new version.
func TestFormatVersion(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s*(?:require\s+)?github\.com/nats-io/nats-server/v2 (\S+)`).FindSubmatch(mod)
	if found == nil {
		t.Fatal("go.mod does not require nats-server")
	}
	if got := string(found[1]); got != FormatVersion {
		t.Errorf(`go.mod requires nats-server %s, and the file format was checked with %s.
Compare server/filestore.go and server/stream.go of both versions: the layout of a record (msgHdrSize,
recordHashSize, hbit, ebit, tbit), its checksum (highwayhash, key = SHA-256 of STREAM-BLOCK), the
checksum of meta.inf in meta.sum, the names msgs/N.blk and msgs/index.db, and type FileStreamInfo.
Then run the tests of natsstore and natsstore/check, and set FormatVersion to %[1]s.`, got, FormatVersion)
	}
}

// blocks has JetStream write messages to the stream of events and keys to a bucket, and returns
// the folder.
func blocks(tb testing.TB, write func(js jetstream.JetStream) error) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	defer func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: storage.EventsStream, Subjects: storage.Subjects(storage.EventsStream)})
	}
	if err == nil {
		err = write(js)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

func readBlock(tb testing.TB, dir, stream string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(StreamsDir(dir), stream, "msgs/1.blk"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The layout and the checksum of records are those of JetStream: in a store that it has written,
// every record is good.
func TestGoodSpans(t *testing.T) {
	dir := blocks(t, func(js jetstream.JetStream) error {
		for i := range 50 {
			m := &nats.Msg{Subject: storage.EventsPrefix + "all", Data: fmt.Appendf(nil, `"%0*d"`, i*i+1, i)}
			if i%2 == 0 {
				m.Header = nats.Header{"Gatecast-Key": {"with a header"}}
			}
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				return err
			}
		}
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "registry", History: 1})
		if err != nil {
			return err
		}
		for i := range 30 { // each replaces the one before, and is removed
			if _, err := kv.Create(t.Context(), "k", []byte{byte(i)}); err != nil {
				return err
			}
			if err := kv.Delete(t.Context(), "k"); err != nil {
				return err
			}
		}
		return nil
	})
	for _, stream := range []string{storage.EventsStream, "KV_registry"} {
		block := readBlock(t, dir, stream)
		spans := goodSpans(stream, 1, block)
		if len(spans) != 1 || spans[0].from != 0 || spans[0].to != len(block) || spans[0].records < 50 {
			t.Errorf("%s: %+v of %d bytes", stream, spans, len(block))
		}
	}
}

// BenchmarkGoodSpans measures how long a start takes to check 20,000 events.
func BenchmarkGoodSpans(b *testing.B) {
	dir := blocks(b, func(js jetstream.JetStream) error {
		var last jetstream.PubAckFuture
		for range 20_000 {
			var err error
			if last, err = js.PublishAsync(storage.EventsPrefix+"gateway.gw-1", make([]byte, 200)); err != nil {
				return err
			}
		}
		<-js.PublishAsyncComplete()
		select {
		case <-last.Ok():
			return nil
		case err := <-last.Err():
			return err
		}
	})
	block := readBlock(b, dir, storage.EventsStream)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if spans := goodSpans(storage.EventsStream, 1, block); len(spans) != 1 {
			b.Fatal(spans)
		}
	}
}
