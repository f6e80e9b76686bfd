// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import "strings"

// credential returns the token of a request: the value of api-key, or of Authorization
// with the scheme Bearer (RFC 6750 section 2.1). It is empty without either. Other schemes
// are for others. ok is false when both headers have a token and the tokens differ.
func credential(apiKey, authorization string) (token string, ok bool) {
	bearer := bearerToken(authorization)
	switch {
	case bearer == "":
		return apiKey, true
	case apiKey == "":
		return bearer, true
	}
	return apiKey, apiKey == bearer
}

// bearerToken returns the token of an Authorization header, or "". The scheme is not
// case-sensitive (RFC 9110 section 11.1).
func bearerToken(authorization string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.Trim(token, " \t")
}
