// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/gatecast/gatecast/internal/event"
)

const (
	headerGateways = "Gatecast-Gateways" // ids with commas between them
	headerKey      = "Gatecast-Key"      // an event's key, see encodeKey
	headerReceipt  = "Gatecast-Receipt"  // an event's receipt

	kindGateway  = "gateway."
	kindGroup    = "group."
	kindAll      = "all"
	kindGateways = "gateways"
)

// address returns the subject and the header of an event; most have no header.
func address(ev *event.Event) (subject string, header nats.Header, err error) {
	kind, err := addressTarget(ev.Target)
	if err != nil {
		return "", nil, err
	}
	if kind == kindGateways {
		header = nats.Header{headerGateways: {strings.Join(ev.Target.GatewayIDs, ",")}}
	}
	if ev.Key != "" {
		if header == nil {
			header = nats.Header{}
		}
		header[headerKey] = []string{encodeKey(ev.Key)}
	}
	if ev.IdempotencyKey != "" {
		if header == nil {
			header = nats.Header{}
		}
		header[nats.MsgIdHdr] = []string{encodeKey(ev.IdempotencyKey)}
	}
	if ev.Receipt != "" {
		if header == nil {
			header = nats.Header{}
		}
		header[headerReceipt] = []string{ev.Receipt}
	}
	return subjectPrefix + kind, header, nil
}

// addressTarget checks names too: a dot or a star in one would make it another
// subject.
func addressTarget(t event.Target) (kind string, err error) {
	for _, id := range t.GatewayIDs {
		if !event.ValidName(id) {
			return "", fmt.Errorf("event log: %q is no gateway's id", id)
		}
	}
	switch {
	case len(t.GatewayIDs) == 1:
		return kindGateway + t.GatewayIDs[0], nil
	case len(t.GatewayIDs) > 1:
		return kindGateways, nil
	case t.All:
		return kindAll, nil
	case event.ValidName(t.Group):
		return kindGroup + t.Group, nil
	default:
		return "", fmt.Errorf("event log: the event is for nobody: group %q", t.Group)
	}
}

// target is the inverse of address.
func target(subject string, header nats.Header) (event.Target, error) {
	kind, ours := strings.CutPrefix(subject, subjectPrefix)
	if !ours {
		return event.Target{}, fmt.Errorf("subject %q is not an event's", subject)
	}
	if id, ok := strings.CutPrefix(kind, kindGateway); ok && event.ValidName(id) {
		return event.Target{GatewayIDs: []string{id}}, nil
	}
	if group, ok := strings.CutPrefix(kind, kindGroup); ok && event.ValidName(group) {
		return event.Target{Group: group}, nil
	}
	if kind == kindAll {
		return event.Target{All: true}, nil
	}
	if ids := header.Get(headerGateways); kind == kindGateways && ids != "" {
		return gatewaysOf(ids)
	}
	return event.Target{}, fmt.Errorf("subject %q does not say whom it is for", subject)
}

// gatewaysOf reads a list of several gateways, which has each once.
func gatewaysOf(list string) (event.Target, error) {
	ids := strings.Split(list, ",")
	if len(ids) < 2 || len(ids) > event.MaxGatewayIDs {
		return event.Target{}, fmt.Errorf("header %s names %d gateways", headerGateways, len(ids))
	}
	seen := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		if !event.ValidName(id) {
			return event.Target{}, fmt.Errorf("header %s: %q is no gateway's id", headerGateways, id)
		}
		seen[id] = struct{}{}
	}
	if len(seen) < len(ids) {
		return event.Target{}, fmt.Errorf("header %s names a gateway twice", headerGateways)
	}
	return event.Target{GatewayIDs: ids}, nil
}

// encodeKey returns the key as a header's value: as it is when it is printable
// ASCII without spaces around it, else "=" and its base64. Of the ways to escape
// it, base64 grows least: a thousand ids and the longest key must stay within
// the 64 KiB that JetStream allows a header.
func encodeKey(key string) string {
	plain := key[0] != '=' && strings.TrimSpace(key) == key
	for i := range len(key) {
		plain = plain && ' ' <= key[i] && key[i] <= '~'
	}
	if plain {
		return key
	}
	return "=" + base64.RawURLEncoding.EncodeToString([]byte(key))
}

// decodeKey is the inverse of encodeKey; of no header it returns no key.
func decodeKey(value string) (string, error) {
	key := value
	if coded, ok := strings.CutPrefix(value, "="); ok {
		b, err := base64.RawURLEncoding.DecodeString(coded)
		if err != nil {
			return "", fmt.Errorf("header %s: %w", headerKey, err)
		}
		key = string(b)
	}
	if !event.ValidText(key, event.MaxKeyLen) {
		return "", fmt.Errorf("header %s: a key has at most %d characters of UTF-8", headerKey, event.MaxKeyLen)
	}
	return key, nil
}
