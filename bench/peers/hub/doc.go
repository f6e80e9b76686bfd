// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package hub is the platform around a WebSocket library that is compared with gatecast. It has
// gatecast's flags and start line, and the part of its internal listener that package bench uses.
// The library delivers each event as one encoded message.
//
// There is no log: nothing is stored, and a receipt only confirms that the library has the event.
// So the peers do not have that part of gatecast's cost.
package hub
