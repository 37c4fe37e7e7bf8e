//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinux = errors.New("connections that are held and memory are measured on Linux only")

func cometBench(context.Context, []string) error { return errLinux }
func crowdChild([]string) error                  { return errLinux }
func broadcasts(context.Context, []string) error { return errLinux }
