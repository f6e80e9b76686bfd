// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/internal/api"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/settings"
)

// constants are the Go constants that the documents name with the key "go".
var constants = map[string]int{
	"api.MaxListed":              api.MaxListed,
	"auth.MaxGroups":             auth.MaxGroups,
	"auth.MaxTokens":             auth.MaxTokens,
	"event.MaxCorrelationLen":    event.MaxCorrelationLen,
	"event.MaxGatewayIDs":        event.MaxGatewayIDs,
	"event.MaxFieldName":         event.MaxFieldName,
	"event.MaxFields":            event.MaxFields,
	"event.MaxFieldsBytes":       event.MaxFieldsBytes,
	"event.MaxKeyLen":            event.MaxKeyLen,
	"event.MaxNameLen":           event.MaxNameLen,
	"event.MaxTypeLen":           event.MaxTypeLen,
	"frame.CloseInternalError":   int(frame.CloseInternalError),
	"frame.CloseInvalidData":     int(frame.CloseInvalidData),
	"frame.CloseMessageTooBig":   int(frame.CloseMessageTooBig),
	"frame.CloseNormal":          int(frame.CloseNormal),
	"frame.ClosePolicyViolation": int(frame.ClosePolicyViolation),
	"frame.CloseProtocolError":   int(frame.CloseProtocolError),
	"frame.CloseTryAgainLater":   int(frame.CloseTryAgainLater),
	"frame.CloseUnsupportedData": int(frame.CloseUnsupportedData),
	"frame.MaxControlPayload":    frame.MaxControlPayload,
	"http1.MaxHead":              http1.MaxHead,
}

// constant returns a constant, or the default of a setting of a node
// ("settings.NAME").
func constant(name string) (string, bool) {
	if flag, ok := strings.CutPrefix(name, "settings."); ok {
		all := settings.All()
		i := slices.IndexFunc(all, func(s settings.Setting) bool { return s.Name == flag })
		if i < 0 {
			return "", false
		}
		return all[i].Default, true
	}
	n, ok := constants[name]
	return fmt.Sprint(n), ok
}

// checkConstants compares the entries of a list with the constants that they
// name. The key holds the value.
func checkConstants(list node, key string) error {
	for _, entry := range list.items() {
		name := entry.get("go").text()
		if name == "" {
			continue
		}
		want, ok := constant(name)
		if !ok {
			return fmt.Errorf("line %d: gendoc knows no %s; add it to constants.go", entry.line(), name)
		}
		if got := entry.get(key).text(); got != want {
			return fmt.Errorf("line %d: %s is %s, but %s is %s", entry.line(), key, got, name, want)
		}
	}
	return nil
}
