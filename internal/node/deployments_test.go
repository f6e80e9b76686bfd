// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

// An event is of the deployment that everybody reads in its payload.
func TestDeploymentOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"t","payload":{"apiId":"a","deploymentId":"d"},"gatewayId":"g"}`: "d",
		`{"type":"t","payload":{"deployment\u0049d":"d"}}`:                        "d",
		`{"type":"t","payload":{"deploymentID":"d"}}`:                             "",
		`{"type":"t","payload":{"deploymentId":"d","deploymentId":"e"}}`:          "",
		`{"type":"t","payload":{"a":{"deploymentId":"d"}}}`:                       "",
		`{"type":"t","payload":{"deploymentId":7}}`:                               "",
		`{"type":"t","payload":{"deploymentId":"\ud800"}}`:                        "",
		`{"type":"t","payload":["deploymentId"]}`:                                 "",
		`{"type":"t","payload":"\"deploymentId\":\"d\"","deploymentId":"d"}`:      "",
	} {
		if got, _ := readDeployment([]byte(body)); got != want {
			t.Errorf("%s is of %q, want %q", body, got, want)
		}
	}
}
