package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tidings/internal/sim/aliyun"
	"tidings/internal/sim/apns"
	"tidings/internal/sim/baidu"
	"tidings/internal/sim/fcm"
	"tidings/internal/sim/gateway"
	"tidings/internal/sim/huawei"
	"tidings/internal/sim/jpush"
	"tidings/internal/sim/mail"
	"tidings/internal/sim/operator"
	"tidings/internal/sim/robot"
	"tidings/internal/sim/tencent"
	"tidings/internal/sim/twilio"
)

// newSimulate runs one of the simulators of the outside world, for the demo and the tests.
func newSimulate(d *deps) *cobra.Command {
	return &cobra.Command{
		Use: "simulate NAME", Short: "Run a simulator: gateway, twilio, aliyun, tencent (SMS), operator (behind Kannel), baidu, fcm, apns, jpush, huawei (push), robots (groups), mail", Hidden: true,
		DisableFlagParsing: true, // the simulators have flags of their own
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{c.CommandPath(), fmt.Errorf("NAME is missing")}
			}
			switch args[0] {
			case "gateway":
				return gateway.Run(c.Context(), args[1:], d.out)
			case "twilio":
				return twilio.Run(c.Context(), args[1:], d.out)
			case "aliyun":
				return aliyun.Run(c.Context(), args[1:], d.out)
			case "tencent":
				return tencent.Run(c.Context(), args[1:], d.out)
			case "baidu":
				return baidu.Run(c.Context(), args[1:], d.out)
			case "apns":
				return apns.Run(c.Context(), args[1:], d.out)
			case "huawei":
				return huawei.Run(c.Context(), args[1:], d.out)
			case "jpush":
				return jpush.Run(c.Context(), args[1:], d.out)
			case "fcm":
				return fcm.Run(c.Context(), args[1:], d.out)
			case "mail":
				return mail.Run(c.Context(), args[1:], d.out)
			case "robots":
				return robot.Run(c.Context(), args[1:], d.out)
			case "operator":
				return operator.Run(c.Context(), args[1:], d.out)
			}
			return &usageError{c.CommandPath(), fmt.Errorf("no simulator %q", args[0])}
		},
	}
}
