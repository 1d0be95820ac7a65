//! Against what nobody here wrote: Tomcat, Apache httpd, nginx, curl, wrk and h2load, from the
//! distribution's packages.

mod curl;
mod load;
mod logging;
mod oracle_nginx;
mod tomcat;
