// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lostFolder returns an error when the marker says that there was a log in a folder, and
// there is none. Asked to repair, it has another begin there.
func lostFolder(cfg Config) error {
	if cfg.Marker == "" || !exists(cfg.Marker) {
		return nil
	}
	streams, err := streamsIn(cfg.Dir)
	if exists(filepath.Join(cfg.Dir, lifeFile)) || err == nil && len(streams) > 0 {
		return nil
	}
	if !cfg.Repair {
		return fmt.Errorf("event log: %s says that there was a log in %s, and there is none; mount its disk or restore the folder from a backup, or start once with --repair, which begins an empty log without any gateways",
			cfg.Marker, cfg.Dir)
	}
	if exists(cfg.Dir) && !isFolder(cfg.Dir) {
		if err := os.Rename(cfg.Dir, asideOf(cfg.Dir)); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
	}
	cfg.Logger.Warn("event log: the log is lost as a whole: every event, gateway and token; an empty one begins", "folder", cfg.Dir, "marker", cfg.Marker)
	return nil
}

// asideOf returns where what is damaged is moved to from a path.
func asideOf(path string) string {
	return path + "-damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
}

// mark writes the marker, if it is not there.
func mark(cfg Config) error {
	if cfg.Marker == "" || exists(cfg.Marker) {
		return nil
	}
	b, err := json.Marshal(map[string]any{"log": cfg.Dir, "since": time.Now().UTC()})
	if err != nil {
		panic("BUG: a marker does not marshal: " + err.Error())
	}
	if err := writeSynced(cfg.Marker, append(b, '\n')); err != nil {
		return fmt.Errorf("event log: %w; %s", err, remedy(err))
	}
	return nil
}
