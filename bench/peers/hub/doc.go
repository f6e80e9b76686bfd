// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package hub is the platform that other WebSocket libraries stand in for
// gatecast on: it takes gatecast's flags, prints its start line, and serves as
// much of its internal route as the load of bench uses. A library gets each
// event as one encoded message and delivers it.
//
// There is no log behind it, nothing is kept, and a receipt says no more than
// that the event was handed to the library. What gatecast spends on that, a
// peer saves.
package hub
