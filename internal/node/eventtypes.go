// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/gatecast/gatecast/internal/eventtypes"
)

// eventTypes are the event types of a file that is watched.
type eventTypes struct {
	*eventtypes.Types
	file string
}

func loadEventTypes(cfg Config) (*eventTypes, error) {
	types, err := eventtypes.Open(cfg.EventTypes, cfg.EventTypesStrict)
	if err != nil {
		return nil, settings.NewError("event-types", err.Error())
	}
	return &eventTypes{Types: types, file: cfg.EventTypes}, nil
}

func (t *eventTypes) String() string  { return "event types" }
func (t *eventTypes) load() error     { return t.Load() }
func (t *eventTypes) files() []string { return []string{t.file} }
