//! Tomcat 10 with one JSP that shows its session.

use std::process::Command;
use std::time::Duration;

use super::process::Peer;
use crate::common::temp::{ReservedPort, TempDir};

const HOME: &str = "/usr/share/tomcat10";

pub struct Tomcat(Peer);

impl std::ops::Deref for Tomcat {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

/// What the tutorial's session page shows, for a program to read: the server, the session, and how
/// often this session was here.
const INDEX_JSP: &str = r#"<%@ page session="true" contentType="text/plain" %><%
  Integer visits = (Integer) session.getAttribute("visits");
  visits = visits == null ? 1 : visits + 1;
  session.setAttribute("visits", visits);
  response.setHeader("X-Origin", application.getInitParameter("name"));
%>server <%= application.getInitParameter("name") %>
session <%= session.getId() %>
visits <%= visits %>
client <%= request.getHeader("X-Forwarded-For") %>
cookies <%= request.getHeader("Cookie") %>
"#;

impl Tomcat {
    #[track_caller]
    pub fn start(name: &str) -> Self {
        let dir = TempDir::new("tomcat");
        let port = ReservedPort::new();
        for folder in ["logs", "temp", "work", "lib"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        dir.write("conf/server.xml", &server_xml(port.port(), name));
        // The JSP compiler and the default servlet come from Tomcat's own defaults.
        std::fs::copy("/etc/tomcat10/web.xml", dir.path().join("conf/web.xml"))
            .expect("tomcat10 is not installed (run `make setup`)");
        dir.write(
            "webapps/ROOT/WEB-INF/web.xml",
            &format!(
                "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"6.0\">\
                 <context-param><param-name>name</param-name><param-value>{name}</param-value>\
                 </context-param></web-app>"
            ),
        );
        dir.write("webapps/ROOT/index.jsp", INDEX_JSP);
        let here = dir.path().display();
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx128m",
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
            ])
            .arg("-Djava.awt.headless=true")
            // Sessions need randomness; a fresh virtual machine may have little.
            .arg("-Djava.security.egd=file:/dev/urandom")
            .arg(format!("-Dcatalina.home={HOME}"))
            .arg(format!("-Dcatalina.base={here}"))
            .arg(format!("-Djava.io.tmpdir={here}/temp"))
            .args([
                "-cp",
                &format!("{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"),
            ])
            .args(["org.apache.catalina.startup.Bootstrap", "start"]);
        // A JVM on a busy two-core machine takes its time.
        Self(Peer::start(dir, port, command, Duration::from_secs(90)))
    }

    /// The access log, whatever its date.
    pub fn access_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("logs/access.txt")).unwrap_or_default()
    }
}

fn server_xml(port: u16, route: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector port="{port}" address="127.0.0.1" protocol="HTTP/1.1" connectionTimeout="20000"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{route}">
      <Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false">
        <Valve className="org.apache.catalina.valves.AccessLogValve" directory="logs"
               prefix="access" suffix=".txt" rotatable="false" buffered="false"
               pattern="%{{X-Forwarded-For}}i %h %l %u %t &quot;%r&quot; %s %b"/>
      </Host>
    </Engine>
  </Service>
</Server>
"#
    )
}
