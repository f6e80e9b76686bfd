// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"encoding/json"

	"gatecast/stats"
)

// classify says what a gateway's message is; ok is false when it is not JSON.
// JSON that is no message of ours is unknown, and ignored, so that gateways may
// be newer than the node.
func classify(text []byte) (kind stats.Inbound, ok bool) {
	if !json.Valid(text) {
		return 0, false
	}
	var m struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &m) != nil {
		return stats.UnknownMessage, true
	}
	switch m.Type {
	case stats.EventAck.String():
		return stats.EventAck, true
	case stats.DeploymentAck.String():
		return stats.DeploymentAck, true
	default:
		return stats.UnknownMessage, true
	}
}
