package main

import "tidings"

// givenIntegrations are what the settings of this process say of integrations: one of Kannel and one of Baidu, each only with an account. They
// serve every application and stand first in their channels.
func givenIntegrations(cfg *config) (all []tidings.Configured) {
	add := func(id string, c tidings.Channel, values map[string]string) {
		all = append(all, tidings.Configured{Values: values, Integration: tidings.Integration{ID: id, Channel: c, Provider: id,
			State: tidings.IntegrationActive, Environment: true}})
	}
	if cfg.KannelUser != "" {
		add("kannel", tidings.SMS, map[string]string{"url": cfg.KannelURL, "user": cfg.KannelUser, "password": cfg.KannelPassword, "from": cfg.KannelFrom})
	}
	if cfg.BaiduKey != "" {
		add("baidu", tidings.App, map[string]string{"url": cfg.BaiduURL, "key": cfg.BaiduKey, "secret": cfg.BaiduSecret, "device_type": cfg.BaiduDeviceType})
	}
	return all
}
