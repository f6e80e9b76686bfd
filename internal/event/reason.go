// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

// A CloseReason is why a connection ended. Its text is a value of the label "reason" of
// gatecast_disconnects_total. The numbers beside the reasons are close codes (RFC 6455
// section 7.4.1).
type CloseReason uint8

// The reasons why connections end.
const (
	PeerClosed       CloseReason = iota // the gateway sent a close frame
	ConnectionLost                      // end of file or a socket error, without a close frame
	HeartbeatTimeout                    // the peer was silent for the connection timeout
	SlowConsumer                        // its send queue was too long, or made no progress: 1013
	TokenRevoked
	TokenExpired
	GatewayRemoved
	GatewayChanged  // its groups changed; it reconnects with the new ones: 1000
	RateExceeded    // it exceeded a read limit: 1008
	Kicked          // an operator closed it: 1000
	Shutdown        // the node drains: --shutdown-code
	ProtocolError   // the peer broke RFC 6455: 1002
	UnsupportedData // a binary message: 1003
	InvalidData     // not UTF-8 or not JSON: 1007
	MessageTooBig   // 1009
	InternalError   // 1011
	numCloseReasons
)

var closeReasonNames = [numCloseReasons]string{
	"peer_closed", "connection_lost", "heartbeat_timeout", "slow_consumer",
	"token_revoked", "token_expired", "gateway_removed", "gateway_changed", "rate_exceeded", "kicked", "shutdown",
	"protocol_error", "unsupported_data", "invalid_data", "message_too_big", "internal_error",
}

func (r CloseReason) String() string { return closeReasonNames[r] }

// A FailureReason is why a delivery failed. Its text is the "reason" of a failed
// delivery.
type FailureReason uint8

// The reasons why deliveries fail.
const (
	NotConnected       FailureReason = iota // the gateway had no connection
	FailedSlowConsumer                      // queued for a connection that was closed as a slow consumer
	FailedLost                              // queued for a connection that ended before the event was written
	Rejected                                // the gateway answered that it could not apply the event
	NumFailureReasons                       // the number of reasons
)

var failureReasonNames = [NumFailureReasons]string{"not_connected", "slow_consumer", "connection_lost", "rejected"}

var failureReasonTexts = [NumFailureReasons]string{"gateway not connected", "slow consumer", "connection lost", "rejected by the gateway"}

func (r FailureReason) String() string { return failureReasonNames[r] }

// Text returns the reason in words, for people.
func (r FailureReason) Text() string { return failureReasonTexts[r] }

// A MessageKind is the kind of a message from a gateway. Its text is a value of the
// label "type" of gatecast_messages_received_total.
type MessageKind uint8

// The kinds of messages from gateways.
const (
	EventAck MessageKind = iota
	DeploymentAck
	UnknownMessage
	numMessageKinds
)

var messageKindNames = [numMessageKinds]string{"event.ack", "deployment.ack", "unknown"}

func (k MessageKind) String() string { return messageKindNames[k] }

// CloseReasonNames returns the texts of all close reasons, in order. The caller does
// not modify them.
func CloseReasonNames() []string { return closeReasonNames[:] }

// FailureReasonNames returns the texts of all failure reasons, in order. The caller
// does not modify them.
func FailureReasonNames() []string { return failureReasonNames[:] }

// MessageKindNames returns the texts of all message kinds, in order. The caller does
// not modify them.
func MessageKindNames() []string { return messageKindNames[:] }
