// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"sync/atomic"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/eventtypes"
	"github.com/gatecast/gatecast/internal/settings"
)

// adminTokens are the admin tokens of a file. It implements reload.Source.
type adminTokens struct {
	file    string // constant
	current atomic.Pointer[auth.AdminTokens]
}

// loadAdminTokens loads the admin tokens. It creates the file with a new token if there
// is none.
func loadAdminTokens(cfg Config) (*adminTokens, error) {
	tokens, created, err := auth.LoadAdminTokens(cfg.AdminTokenFile)
	if err != nil {
		return nil, settings.NewError("admin-token-file", err.Error())
	}
	if created {
		cfg.Logger.Info("created an admin token", "file", cfg.AdminTokenFile)
	}
	a := &adminTokens{file: cfg.AdminTokenFile}
	a.current.Store(&tokens)
	return a, nil
}

// Identify returns the administrator that a presented token belongs to.
func (a *adminTokens) Identify(presented []byte) (auth.Admin, bool) {
	return a.current.Load().Identify(presented)
}

func (a *adminTokens) String() string  { return "admin tokens" }
func (a *adminTokens) Files() []string { return []string{a.file} }

// Load reads the file again. If it cannot be read, the tokens of before stay valid: an
// operator who makes a mistake in the file must not be locked out.
func (a *adminTokens) Load() error {
	tokens, err := auth.ReadAdminTokens(a.file)
	if err == nil {
		a.current.Store(&tokens)
	}
	return err
}

// eventTypes are the event types of a file. It implements reload.Source.
type eventTypes struct {
	*eventtypes.Types
	file string // constant
}

// loadEventTypes loads the event types, nil if payloads are not checked.
func loadEventTypes(cfg Config) (*eventTypes, error) {
	if cfg.EventTypes == "" {
		return nil, nil
	}
	types, err := eventtypes.Open(cfg.EventTypes, cfg.EventTypesStrict)
	if err != nil {
		return nil, settings.NewError("event-types", err.Error())
	}
	return &eventTypes{types, cfg.EventTypes}, nil
}

func (t *eventTypes) String() string  { return "event types" }
func (t *eventTypes) Files() []string { return []string{t.file} }
