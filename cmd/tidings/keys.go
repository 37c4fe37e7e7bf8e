package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tidings/api"
	"tidings/auth"
)

func newKeys(d *deps) *cobra.Command {
	return newGroup("keys", "The keys under which secrets and addresses are kept", d.newKeysRotate(), d.newKeysReports())
}

func (d *deps) newKeysRotate() *cobra.Command {
	return withOutput(withSettings(&cobra.Command{
		Use: "rotate", Short: "Seal addresses and integrations' secrets anew under TIDINGS_SECRET", Args: noArgument,
		Long: `Seals every address and every integration's secrets that another master secret sealed (TIDINGS_SECRET_OLD) anew under TIDINGS_SECRET.
Other processes go on meanwhile, if they know both. Stopped in its middle, it goes on where it was when it is run again.

  1. start every process with TIDINGS_SECRET_OLD=<new>, so that all can read both
  2. start every process with TIDINGS_SECRET=<new> TIDINGS_SECRET_OLD=<old>: from now on the new one seals and signs
  3. tidings keys rotate, with the same two
  4. when it says that all is done and the SMS sent before step 2 have had their reports, start every process without TIDINGS_SECRET_OLD.
     Unsubscribe links from before step 2 end with it`,
		RunE: func(c *cobra.Command, _ []string) error {
			db, _, err := openRecord(c, d)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // what is written is committed
			p := d.printer(c)
			done, lost, err := db.Reseal(c.Context(), func(done, of int) {
				if !p.json {
					p.line("%d of %d", done, of)
				}
			})
			if err != nil {
				return err
			}
			if p.json {
				if err := p.value(map[string]int{"sealed": done, "lost": lost}); err != nil {
					return err
				}
			} else {
				p.line("%d sealed anew; all else was under the current secret", done)
			}
			if lost > 0 {
				return fmt.Errorf("%d cannot be opened with TIDINGS_SECRET or TIDINGS_SECRET_OLD and stay as they are; the log names them", lost)
			}
			return nil
		},
	}, forStores, forLogs))
}

func (d *deps) newKeysReports() *cobra.Command {
	return withSettings(&cobra.Command{
		Use: "reports PROVIDER INTEGRATION", Short: "Print the URL to set at a provider, for its reports on all of an integration's messages", Args: arguments("PROVIDER", "INTEGRATION"),
		Long: `Prints the URL that Aliyun, Tencent Cloud or Huawei is to call with delivery reports. It is signed: who knows it can report.
Kannel, Twilio and the company's own gateway need none, they get a URL with each message.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := load(c, d.getenv)
			if err != nil {
				return err
			}
			master, err := masterSecret(cfg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.out, strings.TrimSuffix(cfg.PublicURL, "/")+api.ReportPath(args[0], args[1], auth.SignReports(master, args[1])))
			return err
		},
	}, forStores, forWorkers)
}
