//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinux = errors.New("held connections are measured on Linux only")

func cometBench(context.Context, []string) error { return errLinux }
func crowdChild([]string) error                  { return errLinux }
