// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// isReport reports whether a record is one of the journals of messages and failures:
// an object about a gateway, to which an id can be added. Anybody can write into a
// shared NATS, and these are handed to the platform as they are.
func isReport(r eventlog.Record) bool {
	typed := false
	ok := event.CheckMembers(r.Data, func(name, value []byte) bool {
		switch string(name) {
		case "id":
			return false
		case "type":
			typed = value[0] == '"'
			return typed
		case "gatewayId":
			return len(value) > 2 && string(value[1:len(value)-1]) == r.Name && event.ValidName(r.Name)
		case "timestamp", "time", "eventId", "organizationId", "correlationId", "reason", "status", "error":
			return value[0] == '"'
		}
		return true
	})
	return ok && typed
}
