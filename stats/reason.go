// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package stats

// A Disconnect is why a connection ended. Its text is the label of
// gatecast_disconnects_total.
type Disconnect uint8

// Why a connection ended.
const (
	PeerClosed       Disconnect = iota // the gateway sent a close frame
	ConnectionLost                     // end of file or a socket error, without a close frame
	HeartbeatTimeout                   // nothing heard for the connection timeout
	SlowConsumer                       // its send queue was too long, or did not move
	TokenRevoked
	TokenExpired
	GatewayRemoved
	GatewayChanged  // the platform says that it is in other groups: it comes back in those
	RateExceeded    // it sent more than it may: 1008
	Kicked          // an operator closed it
	Shutdown        // the node drains
	ProtocolError   // RFC 6455 broken: close code 1002
	UnsupportedData // a binary message: 1003
	InvalidData     // not UTF-8 or not JSON: 1007
	MessageTooBig   // 1009
	InternalError   // 1011
	numDisconnects
)

var disconnectNames = [numDisconnects]string{
	"peer_closed", "connection_lost", "heartbeat_timeout", "slow_consumer",
	"token_revoked", "token_expired", "gateway_removed", "gateway_changed", "rate_exceeded", "kicked", "shutdown",
	"protocol_error", "unsupported_data", "invalid_data", "message_too_big", "internal_error",
}

func (d Disconnect) String() string { return disconnectNames[d] }

// A Failure is why a delivery failed. Its text is the "reason" of a failed
// delivery.
type Failure uint8

// Why a delivery failed.
const (
	NotConnected       Failure = iota // the gateway had no connection
	FailedSlowConsumer                // queued for a connection that was cut off as slow
	FailedLost                        // queued for a connection that ended before it was written
	Rejected                          // the gateway answered that it could not apply it
	numFailures
)

var failureNames = [numFailures]string{"not_connected", "slow_consumer", "connection_lost", "rejected"}

var failureTexts = [numFailures]string{"gateway not connected", "slow consumer", "connection lost", "rejected by the gateway"}

func (f Failure) String() string { return failureNames[f] }

// Text says the reason in words, for people.
func (f Failure) Text() string { return failureTexts[f] }

// An Inbound is what a message from a gateway was. Its text is the label of
// gatecast_messages_received_total.
type Inbound uint8

// What a message from a gateway was.
const (
	EventAck Inbound = iota
	DeploymentAck
	UnknownMessage
	numInbounds
)

var inboundNames = [numInbounds]string{"event.ack", "deployment.ack", "unknown"}

func (i Inbound) String() string { return inboundNames[i] }
