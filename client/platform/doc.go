// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package platform is the client of a platform that publishes events through gatecast: of the
// HTTP API that a node serves on its internal listener.
//
//   - [Client.Publish] publishes one event and [Client.PublishAll] many. Both repeat a publish
//     until they have its receipt.
//   - [Client.Status] returns the delivery status of an event. [Client.Wait] waits until all
//     its gateways have received or applied it.
//   - [Client.Messages] iterates over what gateways reported, and stores its position in a
//     [CursorStore].
//   - [Client.AddGateway] and the methods beside it register gateways and manage their tokens.
//   - [Client.Do] calls any other route.
//
// # Errors and retries
//
// A response of the node that is not a success is an [*Error]. Every call ends with its context.
// What is safe to repeat is repeated until then, with a random and growing wait, and not before
// the time that the node asks for (Retry-After): when no response came, and after a status
// for which [Temporary] is true. Any other error ends the call at once. [Config.OnRetry] is
// called before each wait. AddGateway, AddToken and Do send one request only, because a
// repeat could take effect twice.
//
// A repeated publish is safe for two minutes: that is how long nodes remember an idempotency
// key. After a longer outage an event can be published twice, with the same correlation id.
//
// Events are delivered to gateways in the order of the log. Two calls at the same time are in
// no order.
package platform
