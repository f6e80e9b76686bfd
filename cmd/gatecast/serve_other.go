// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "errors"

const linuxOnly = " runs on Linux only (it needs epoll); use a Linux machine or container"

// Run returns the error that says where serve runs.
func (c *serveCmd) Run() error { return errors.New("serve" + linuxOnly) }

// Run returns the error that says where demo runs.
func (c *demoCmd) Run() error { return errors.New("demo" + linuxOnly) }
