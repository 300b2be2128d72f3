"""Roles and configurations as the Go methods store them."""

from __future__ import annotations

# HashiCorp's method: `vault write auth/jwt/role/ci role_type=jwt bound_audiences=... -` in 1.21.
VAULT_ROLE = (
    b'{"token_bound_cidrs":["127.0.0.1/8"],"token_explicit_max_ttl":0,'
    b'"token_max_ttl":7200000000000,"token_no_default_policy":false,"token_num_uses":0,'
    b'"token_period":0,"token_policies":["Dev","web"],"token_type":1,"token_ttl":3600000000000,'
    b'"alias_metadata":{"team":"a"},'
    b'"role_type":"jwt","expiration_leeway":0,"not_before_leeway":-1000000000,'
    b'"clock_skew_leeway":10000000000,"bound_audiences":["https://vault.example","x,y"],'
    b'"bound_subject":"","bound_claims_type":"string",'
    b'"bound_claims":{"n":42.0,"big":12345678901234567890,"list":["a",1],"\\u003ctag\\u003e":true},'
    b'"claim_mappings":{"/a/b":"ab"},"user_claim":"sub","groups_claim":"/groups",'
    b'"oidc_scopes":null,"allowed_redirect_uris":null,"verbose_oidc_logging":false,"max_age":0,'
    b'"user_claim_json_pointer":true,"policies":null,"num_uses":0,"ttl":0,"max_ttl":0,'
    b'"period":0,"bound_cidrs":null}\n'
)

# OpenBao's method, an OIDC role in device mode.
OPENBAO_ROLE = (
    b'{"token_bound_cidrs":null,"token_explicit_max_ttl":0,"token_max_ttl":0,'
    b'"token_no_default_policy":true,"token_num_uses":3,"token_period":86400000000000,'
    b'"token_policies":["{{ .sub }}"],"token_type":0,"token_ttl":0,"token_strictly_bind_ip":true,'
    b'"role_type":"oidc","expiration_leeway":150000000000,"not_before_leeway":150000000000,'
    b'"clock_skew_leeway":60000000000,"bound_audiences":[],"bound_subject":"","bound_claims_type":'
    b'"glob","bound_claims":null,"claim_mappings":null,"oauth2_metadata":["id_token"],'
    b'"user_claim":"email","groups_claim":"","oidc_scopes":["profile"],"allowed_redirect_uris":'
    b'["http://localhost:8250/oidc/callback"],"callback_mode":"device","poll_interval":7,'
    b'"verbose_oidc_logging":true,"max_age":3600000000000,"user_claim_json_pointer":false,'
    b'"token_policies_template_claims":true,"oidc_disable_confirmation":true,"policies":null,'
    b'"num_uses":0,"ttl":0,"max_ttl":0,"period":0,"bound_cidrs":null}\n'
)

# A role of Vault 1.1: no token_* members, no role_type, no bound_claims_type.
OLD_ROLE = (
    b'{"policies":["dev","web"],"num_uses":12,"ttl":3600000000000,"max_ttl":7200000000000,'
    b'"period":60000000000,"bound_audiences":["vault"],"bound_subject":"sub",'
    b'"bound_cidrs":["10.0.0.0/8"],"user_claim":"user","groups_claim":"groups"}\n'
)

VAULT_CONFIG = (
    b'{"oidc_discovery_url":"","oidc_discovery_ca_pem":"","oidc_client_id":"",'
    b'"oidc_client_secret":"","oidc_response_mode":"","oidc_response_types":[],'
    b'"jwks_url":"https://issuer.example/keys","jwks_ca_pem":"","jwks_pairs":[],'
    b'"jwt_validation_pubkeys":[],"jwt_supported_algs":["RS256"],"bound_issuer":"issuer",'
    b'"default_role":"ci","provider_config":{},"namespace_in_state":true,'
    b'"unsupported_critical_cert_extensions":[]}\n'
)

OPENBAO_CONFIG = (
    b'{"oidc_discovery_url":"https://issuer.example/","oidc_discovery_ca_pem":"PEM",'
    b'"oidc_client_id":"id","oidc_client_secret":"hush","oidc_response_mode":"form_post",'
    b'"oidc_response_types":["code"],"jwks_url":"","jwks_ca_pem":"",'
    b'"jwt_validation_pubkeys":null,"jwt_supported_algs":null,"bound_issuer":"",'
    b'"default_role":"","provider_config":{"provider":"gsuite",'
    b'"gsuite_service_account":"{secret}","domain":"example.com","groups_recurse_max_depth":5},'
    b'"override_allowed_server_names":["issuer.internal"],"namespace_in_state":false}\n'
)
