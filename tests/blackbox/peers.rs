//! Against what nobody here wrote: Tomcat, Apache httpd, nginx, HAProxy, Redis, curl, wrk and h2load,
//! from the distribution's packages.

mod curl;
mod load;
mod logging;
mod oracle;
mod oracle_haproxy;
mod oracle_httpd;
mod oracle_nginx;
mod proxy_protocol;
mod sessions_redis;
mod sessions_redis_roles;
mod sessions_tomcat;
mod tomcat;
