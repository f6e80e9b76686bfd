// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package presence lets the nodes that share a log know which gateways are connected to
// which node, so that each of them can count the connected ones.
//
// Each node announces its gateways on NATS core: changes four times a second, and the
// full set every 30 seconds and on a sync request. Announcements of a node are
// numbered. A node that finds a number missing sends a sync request, and keeps the
// previous state until the full set has arrived. The result goes into the registry,
// which counts for each gateway the nodes that have a connection to it.
//
// A node that starts sends a sync request and serves when the others have answered. A
// node that is silent for three seconds counts as having no gateways, except while this
// node is itself cut off from NATS.
//
// The package also holds a node's name, so that no two nodes have the same one, and
// carries requests that concern all nodes: close a connection, end the tokens that the
// platform verified, stats.
//
// Messages on NATS are checked where they are read ([Peers]: parseAnnouncement). Their
// subjects and JSON keys are fixed: nodes of different versions exchange them.
package presence
