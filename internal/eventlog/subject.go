// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
)

const (
	headerGateways = "Gatecast-Gateways" // ids, separated by commas
	headerKey      = "Gatecast-Key"      // an event's key, see encodeKey
	headerReceipt  = "Gatecast-Receipt"  // an event's receipt

	kindGateway = "gateway."
	kindGroup   = "group."
	// kindOrganization is newer than the other kinds. Versions before it skip these events
	// as foreign messages: they deliver them to nobody.
	kindOrganization = "organization."
	kindAll          = "all"
	kindGateways     = "gateways"
)

// address returns the subject and the header of an event; most have no header.
func address(ev *event.Event) (subject string, header storage.Header, err error) {
	kind, err := addressTarget(ev.Target)
	if err != nil {
		return "", nil, err
	}
	set := func(name, value string) {
		if header == nil {
			header = storage.Header{}
		}
		header[name] = []string{value}
	}
	if kind == kindGateways {
		set(headerGateways, strings.Join(ev.Target.GatewayIDs, ","))
	}
	if ev.Key != "" {
		set(headerKey, encodeKey(ev.Key))
	}
	if ev.Receipt != "" {
		set(headerReceipt, ev.Receipt)
	}
	return subjectPrefix + kind, header, nil
}

// addressTarget also checks names: a dot or a star in a name would make another subject of it.
func addressTarget(t event.Target) (kind string, err error) {
	for _, id := range t.GatewayIDs {
		if !event.ValidName(id) {
			return "", fmt.Errorf("event log: %q is not a gateway id", id)
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
	case event.ValidName(t.OrganizationID):
		return kindOrganization + t.OrganizationID, nil
	default:
		return "", fmt.Errorf("event log: the event has no target: group %q, organization %q", t.Group, t.OrganizationID)
	}
}

// target is the inverse of address. It accepts only what address can make, because other
// programs can write to the stream: what is accepted here is delivered without another check.
func target(subject string, header storage.Header) (event.Target, error) {
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
	if id, ok := strings.CutPrefix(kind, kindOrganization); ok && event.ValidName(id) {
		return event.Target{OrganizationID: id}, nil
	}
	if kind == kindAll {
		return event.Target{All: true}, nil
	}
	if ids := header.Get(headerGateways); kind == kindGateways && ids != "" {
		return gatewaysOf(ids)
	}
	return event.Target{}, fmt.Errorf("subject %q has no target", subject)
}

// gatewaysOf reads a list of at least two different gateways.
func gatewaysOf(list string) (event.Target, error) {
	ids := strings.Split(list, ",")
	if len(ids) < 2 || len(ids) > event.MaxGatewayIDs {
		return event.Target{}, fmt.Errorf("header %s names %d gateways", headerGateways, len(ids))
	}
	seen := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		if !event.ValidName(id) {
			return event.Target{}, fmt.Errorf("header %s: %q is not a gateway id", headerGateways, id)
		}
		seen[id] = struct{}{}
	}
	if len(seen) < len(ids) {
		return event.Target{}, fmt.Errorf("header %s names a gateway twice", headerGateways)
	}
	return event.Target{GatewayIDs: ids}, nil
}

// encodeKey returns the key as the value of a header: unchanged if it is printable ASCII
// without spaces around it, else "=" and its base64. Base64 adds the least: a thousand ids and
// the longest key must fit into the 64 KiB of headers that JetStream allows.
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

// decodeKey is the inverse of encodeKey. Without a header it returns "".
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
